/* evaluate: the loss of a trained model on a token file, computed by the code that evaluates during
 * training, and its accuracy on multiple-choice questions. */
#include "core/base/clock.h"
#include "core/base/escape.h"
#include "data/token_text.h"
#include "data/tokenizer.h"
#include "launch/base/at_load.h"
#include "launch/base/options.h"
#include "launch/base/streams.h"
#include "launch/base/thread_wait.h"
#include "launch/config/config_load.h"
#include "launch/config/value.h"
#include "launch/convert/model_source.h"
#include "launch/evaluate/logits_writer.h"
#include "launch/evaluate/result_print.h"
#include "launch/run/experiment_plan.h"
#include "launch/run/memory_search.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { PATH_BYTES = 4096 };

typedef struct EvaluateOptions {
    const char *tokens, *logits;
    int64_t stride;
    bool json;
} EvaluateOptions;

static const Option options[] = {
    {"tokens", OPTION_TEXT, offsetof(EvaluateOptions, tokens), "N|all", NULL,
     .doc = "number of tokens, spread over the file (default: the run's evaluation.tokens)"},
    {"stride", OPTION_INT, offsetof(EvaluateOptions, stride), "N", NULL, .low = 1, .high = 1e9,
     .doc = "overlapping windows: each scores N new tokens; all tokens of the file"},
    {"logits", OPTION_TEXT, offsetof(EvaluateOptions, logits), "FILE", NULL,
     .doc = "also write the logits of these tokens to an HDF5 file; requires --tokens"},
    {"json", OPTION_FLAG, offsetof(EvaluateOptions, json), .doc = "print one JSON object"},
};

static void more(FILE *file) {
    fputs("MODEL is a run directory, of which the newest good checkpoint is used, a checkpoint, or "
          "weights of Hugging\n"
          "Face (a directory, or *.safetensors with config.json beside it) or llm.c. DATA is a "
          "token file or a pattern\n"
          "of shards, by default the run's data.val; or multiple-choice questions in llm.c's "
          "format, as HellaSwag's\n"
          "JSON lines, or as {\"context\": \"...\", \"choices\": [\"...\", \"...\"], "
          "\"answer\": 0}. Any key of the run's\n"
          "config can be set: data.batch_size=4 device=cpu.\n"
          "mpirun -np N ./evaluate ... divides the work among N ranks, with the same result.\n",
          file);
}

static const CommandLine command = {
    .name = "evaluate",
    .purpose = "Evaluates a trained model on a token file or on multiple-choice questions.",
    .operands = "MODEL [DATA]",
    .least = 1,
    .most = 2,
    .takes_overrides = true,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .more = more,
};

typedef struct Evaluate {
    Config *config; /* e's */
    Experiment e;
    EvaluateOptions values;
    Arguments arguments;
    char path[PATH_BYTES]; /* of the checkpoint or the weights */
    ModelSource source;    /* until the weights are loaded */
    int64_t step;
    Evaluator *evaluator;  /* of tokens */
    LogitsWriter *logits;  /* NULL: none are written */
    const char *questions; /* their file; NULL: tokens are evaluated */
    ChoiceSet choices;
    char note[2 * PATH_BYTES], model_note[256];
    Evaluation result;   /* of tokens */
    ChoiceScores scores; /* of questions */
} Evaluate;

static bool is_given(const Evaluate *v, const char *key) {
    size_t bytes = strlen(key);
    for (int i = 0; i < v->arguments.override_count; i++) {
        const char *argument = v->arguments.overrides[i];
        if (strncmp(argument, key, bytes) == 0 && argument[bytes] == '=') return true;
    }
    return false;
}

/* Rank 0 chooses, because a run in progress may write a newer checkpoint at any moment. */
static Status model_choose(Evaluate *v) {
    TRY(model_source_open(v->arguments.operands[0], "evaluate", &v->source));
    snprintf(v->path, sizeof v->path, "%s", v->source.path);
    return OK;
}

static Status model_find(Evaluate *v) {
    World *world = v->e.world;
    bool leads = world_rank(world) == 0;
    TRY(world_agree(world, leads ? model_choose(v) : OK));
    TRY(world_broadcast(world, v->path, sizeof v->path));
    TRY(world_agree(world, leads ? OK : model_source_open(v->path, NULL, &v->source)));
    v->step = model_source_step(&v->source);
    return OK;
}

static Status tokens_take(const EvaluateOptions *values, ConfigEvaluation *out) {
    if (values->tokens == NULL && values->logits == NULL) return OK; /* of all: logits_settle */
    if (values->tokens == NULL || strcmp(values->tokens, "all") == 0) {
        out->tokens = CONFIG_ALL;
        return OK;
    }
    if (value_parse_int(values->tokens, &out->tokens) && out->tokens > 0) return OK;
    return ERROR(STATUS_USAGE,
                 "--tokens requires a count such as 1M, or all, not '%.200s'; see --help",
                 values->tokens);
}

/* Refuses a key of the config that another argument would replace. */
static Status keys_refuse(const Evaluate *v) {
    const EvaluateOptions *given = &v->values;
    const char *data = v->arguments.operand_count == 2 ? v->arguments.operands[1] : NULL;
    const char *instead = given->tokens != NULL  ? "--tokens"
                          : given->stride != 0   ? "--stride"
                          : v->questions != NULL ? v->questions
                                                 : NULL;
    if (data != NULL && is_given(v, "data.val"))
        return ERROR(STATUS_USAGE, "data.val and %s both name the data; leave one out", data);
    if (instead != NULL && is_given(v, "evaluation.tokens"))
        return ERROR(STATUS_USAGE, "evaluation.tokens does not apply beside %s; leave one out",
                     instead);
    return OK;
}

/* The run may have been trained on a GPU in a type that the CPU does not support. */
static void device_settle(Evaluate *v) {
    Config *config = v->config;
    bool has_gpu = device_count_cuda() > 0;
    if (!has_gpu && !is_given(v, "device")) config->device = CONFIG_DEVICE_CPU;
    bool on_cpu = config->device == CONFIG_DEVICE_CPU, is_wide = config_dtype(config) == DTYPE_F64;
    if (on_cpu && !is_wide && !is_given(v, "training.dtype"))
        config->training.dtype = CONFIG_DTYPE_FLOAT32;
}

static Status config_take(Evaluate *v) {
    const Arguments *a = &v->arguments;
    TRY(model_source_config(&v->source, a->override_count, a->overrides, &v->config, v->model_note,
                            sizeof v->model_note));
    Config *config = v->config;
    if (a->operand_count == 2 && choice_set_format(a->operands[1]) != CHOICES_NONE) {
        v->questions = a->operands[1];
    } else if (a->operand_count == 2) {
        config->data.val = (TokenPaths){.count = 1, .items = (const char *const *)&a->operands[1]};
    }
    TRY(keys_refuse(v));
    if (v->questions == NULL && config->data.val.count == 0) {
        return ERROR(STATUS_USAGE,
                     "%s: the model names no data.val; name a token file: ./evaluate %s DATA",
                     a->operands[0], a->operands[0]);
    }
    TRY(tokens_take(&v->values, &config->evaluation));
    device_settle(v);
    experiment_configure(&v->e, config);
    return OK;
}

/* Refuses data of another tokenizer: the loss of such a model would be meaningless. */
static Status tokenizer_check(Evaluate *v) {
    TokenizerId model, data = token_set_tokenizer_id(v->e.val_tokens);
    TRY(model_source_tokenizer(&v->source, &model));
    if (tokenizer_is_named(data.name) && !tokenizer_is_named(model.name))
        snprintf(v->note, sizeof v->note,
                 "the model's tokenizer is unknown; whether %s is of it could not be checked",
                 token_set_path(v->e.val_tokens));
    if (tokenizers_share_tokens(model, data)) return OK;
    return ERROR(
        STATUS_DATA,
        "%s: made with the tokenizer %s, but the model of %s uses %s; make it with that one",
        token_set_path(v->e.val_tokens), data.name, v->path, model.name);
}

static Status options_of_tokens_refuse(const Evaluate *v) {
    const EvaluateOptions *given = &v->values;
    const char *option = given->logits != NULL   ? "logits"
                         : given->tokens != NULL ? "tokens"
                         : given->stride != 0    ? "stride"
                                                 : NULL;
    if (option == NULL) return OK;
    return ERROR(STATUS_USAGE, "--%s applies to token files, and %s has questions; leave it out",
                 option, v->questions);
}

/* Opens the model's tokenizer for questions in text; those in tokens need none. */
static Status questions_read(Evaluate *v) {
    const Config *config = v->config;
    Tokenizer *tokenizer = NULL;
    TokenizerId id;
    TRY(options_of_tokens_refuse(v));
    TRY(model_source_tokenizer(&v->source, &id));
    bool is_known = tokenizer_is_named(tokenizer_assumed(id.name, config->model.V));
    if (is_known && choice_set_format(v->questions) == CHOICES_JSON)
        TRY(tokenizer_open_of(id, v->path, config->model.V, &tokenizer));
    if (tokenizer != NULL && id.name[0] == '\0')
        snprintf(v->note, sizeof v->note, "%s names no tokenizer; GPT-2's is assumed", v->path);
    Status status =
        choice_set_read(v->questions, tokenizer, config->model.V, config->model.T, &v->choices);
    tokenizer_destroy(&tokenizer);
    return status;
}

static Status windows_slide(Evaluate *v) {
    int64_t stride = v->values.stride, T = v->e.T;
    if (stride == 0) return OK;
    if (stride > T || (v->values.tokens != NULL && strcmp(v->values.tokens, "all") != 0)) {
        return ERROR(STATUS_USAGE,
                     "--stride takes 1 to %lld (model.block_size), and all tokens of the data",
                     (long long)T);
    }
    evaluation_set_slide(&v->e.val, stride);
    return OK;
}

static const char *data_path(const Evaluate *v) {
    return v->questions != NULL ? v->questions : token_set_path(v->e.val_tokens);
}

static LogitsHeader logits_header(const Evaluate *v) {
    const Experiment *e = &v->e;
    return (LogitsHeader){.N = e->val.count,
                          .T = e->T,
                          .V = e->resolved.vocab_size,
                          .step = v->step,
                          .model = v->path,
                          .data = data_path(v)};
}

/* Logits are the one large result: a token of GPT-2 has 201 KB of them. */
static Status logits_settle(Evaluate *v) {
    LogitsHeader header = logits_header(v);
    size_t bytes;
    if (v->values.logits == NULL) return OK;
    if (world_size(v->e.world) > 1)
        return ERROR(STATUS_USAGE, "--logits writes from one rank; start ./evaluate alone");
    if (config_dtype(v->config) == DTYPE_F64)
        return ERROR(STATUS_USAGE, "--logits writes float32; set training.dtype=float32");
    TRY(logits_file_bytes(&header, &bytes));
    if (v->values.tokens == NULL) {
        return ERROR(STATUS_USAGE,
                     "--logits of all %lld tokens take %.1f MB; confirm that with --tokens=all, or "
                     "take fewer",
                     (long long)v->e.val.targets, 1e-6 * (double)bytes);
    }
    v->e.keeps_logits = true;
    return OK;
}

static Status load(Evaluate *v) {
    TRY(config_take(v));
    TRY(experiment_open_device(&v->e));
    if (v->questions != NULL) return questions_read(v);
    TRY(experiment_open_data(&v->e));
    TRY(windows_slide(v));
    TRY(tokenizer_check(v));
    return logits_settle(v);
}

/* The run's batch if it fits, limited by the number of windows or choices per rank. */
static Status batch_choose(const Evaluate *v, Probes *probes, int64_t *B) {
    const Experiment *e = &v->e;
    int64_t count = v->questions == NULL ? e->val.count : v->choices.n_choices;
    int64_t R = world_size(e->world), share = (count + R - 1) / R;
    KernelChoice attention = experiment_attention(&e->resolved);
    PlanResult plan;
    size_t capacity;
    if (*B == CONFIG_AUTO || *B > share) *B = share;
    TRY(probes_find(probes, *B, &attention, &plan));
    TRY(memory_capacity(e, &plan, &capacity));
    return plan.bytes <= capacity ? OK : memory_search_batch(e, probes, &attention, B);
}

static Status plan(Evaluate *v) {
    Experiment *e = &v->e;
    int64_t *B = &e->resolved.batch_size;
    if (*B == CONFIG_AUTO || !is_given(v, "data.batch_size")) {
        Probes probes = {.input = experiment_plan_input(e)};
        Status status = world_agree(e->world, batch_choose(v, &probes, B));
        probes_free(&probes);
        TRY(status);
        TRY(world_min_i64(e->world, B));
    }
    return world_agree(e->world, experiment_record(e));
}

static Status weights_load(Evaluate *v) {
    TRY(model_source_load(&v->source, &v->e));
    model_source_close(&v->source);
    if (v->questions != NULL) return OK;
    TRY(evaluator_create(&v->e, &v->evaluator));
    if (v->values.logits == NULL) return OK;
    LogitsHeader header = logits_header(v);
    TRY(logits_writer_create(&v->e, v->values.logits, &header, &v->logits));
    evaluator_observe(v->evaluator, logits_writer_add, v->logits);
    return OK;
}

/* ---- results --------------------------------------------------------------------------------- */

static EvaluationCase case_of(const Evaluate *v, double seconds) {
    return (EvaluationCase){.model = v->path,
                            .data = data_path(v),
                            .dtype = config_name("training.dtype", (int)v->config->training.dtype),
                            .device = v->e.device->name,
                            .step = v->step,
                            .seconds = seconds,
                            .as_json = v->values.json};
}

static void notes_print(const Evaluate *v) {
    const char *note = v->evaluator == NULL ? NULL : evaluator_note(v->evaluator);
    if (note != NULL) escape_say(stderr, "evaluate: note: %s", note);
    if (v->note[0] != '\0') escape_say(stderr, "evaluate: note: %s", v->note);
    if (v->model_note[0] != '\0') escape_say(stderr, "evaluate: note: %s", v->model_note);
    if (v->values.logits != NULL)
        escape_say(stderr, "evaluate: %s has %lld x %lld x %lld logits", v->values.logits,
                   (long long)v->e.val.count, (long long)v->e.T,
                   (long long)v->e.resolved.vocab_size);
}

static Status compute(Evaluate *v) {
    if (v->questions != NULL) return choice_scores_find(&v->e, &v->choices, &v->scores);
    return logits_writer_finish(&v->logits, evaluator_run(v->evaluator, &v->result));
}

static Status print(const Evaluate *v, double seconds) {
    EvaluationCase about = case_of(v, seconds);
    notes_print(v);
    return v->questions == NULL ? evaluation_print(&about, &v->result)
                                : choice_scores_print(&about, &v->scores);
}

static Status evaluate(Evaluate *v) {
    World *world = v->e.world;
    v->e.evaluates = true;
    TRY(model_find(v));
    TRY(world_agree(world, load(v)));
    TRY(experiment_connect(&v->e));
    TRY(plan(v));
    TRY(world_agree(world, experiment_allocate(&v->e)));
    TRY(world_agree(world, weights_load(v)));
    (void)watchdog_allow(v->e.watchdog, 0, "evaluation");
    double started = clock_seconds();
    Status status = compute(v);
    if (failed(status) && world_size(world) > 1)
        world_abort(world, status); /* the other ranks wait for this rank's sums */
    TRY(status);
    double seconds = clock_seconds() - started;
    return world_agree(world, world_rank(world) == 0 ? print(v, seconds) : OK);
}

static void evaluate_close(Evaluate *v) {
    evaluator_destroy(&v->evaluator);
    choice_set_free(&v->choices);
    model_source_close(&v->source);
    experiment_destroy(&v->e);
    config_destroy(&v->config);
    arguments_destroy(&v->arguments);
    world_destroy(&v->e.world);
}

int main(int argc, char **argv) {
    at_load_restore();
    thread_wait_choose(argv);
    streams_open();
    signal(SIGXFSZ, SIG_IGN); /* a limit on file size becomes a write error */
    Evaluate v = {0};
    Status status = world_create(&argc, &argv, &v.e.world);
    if (failed(status)) return status_report("evaluate", status);
    status = world_agree(v.e.world, options_parse(&command, argc, argv, &v.values, &v.arguments));
    if (!failed(status)) {
        if (!v.arguments.help && !v.arguments.version)
            status = evaluate(&v);
        else if (world_rank(v.e.world) == 0 &&
                 options_answer(&command, &v.arguments, &build_info, stdout))
            status = streams_flush(OK);
    }
    int code = world_report(v.e.world, streams_flush(status));
    evaluate_close(&v);
    return code;
}
