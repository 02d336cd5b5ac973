/* evaluate: the loss of a run's weights on a token file, computed by the code that evaluates during
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
#include "launch/evaluate/choice_scores.h"
#include "launch/run/evaluation.h"
#include "launch/run/experiment_plan.h"
#include "launch/run/memory_search.h"
#include "launch/run/run_checkpoint.h"
#include "launch/run/state.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 4096 };

typedef struct EvaluateOptions {
    const char *tokens;
    int64_t stride;
    bool json;
} EvaluateOptions;

static const Option options[] = {
    {"tokens", OPTION_TEXT, offsetof(EvaluateOptions, tokens), "N|all", NULL,
     .doc = "number of tokens, spread over the file (default: the run's evaluation.tokens)"},
    {"stride", OPTION_INT, offsetof(EvaluateOptions, stride), "N", NULL, .low = 0, .high = 1e9,
     .doc = "windows overlap: each scores N new targets, of all (0: windows do not overlap)"},
    {"json", OPTION_FLAG, offsetof(EvaluateOptions, json), .doc = "print one JSON object"},
};

static void more(FILE *file) {
    fputs("RUN is a run directory, of which the newest good checkpoint is used, or a checkpoint "
          "file. DATA is a token\n"
          "file or a pattern of shards, by default the run's data.val; or multiple-choice "
          "questions in llm.c's format or\n"
          "as JSON lines: {\"context\": \"...\", \"choices\": [\"...\", \"...\"], \"answer\": 0}. "
          "Any "
          "key of the run's config can\n"
          "be set: data.batch_size=4 device=cpu.\n"
          "mpirun -np N ./evaluate ... divides the work among N ranks, with the same result.\n",
          file);
}

static const CommandLine command = {
    .name = "evaluate",
    .purpose = "Evaluates a run's newest checkpoint, or any, on a token file. Writes nothing.",
    .operands = "RUN [DATA]",
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
    Arena arena;
    char path[PATH_BYTES]; /* of the checkpoint */
    CheckpointFile *file;
    Evaluator *evaluator;  /* of tokens */
    const char *questions; /* their file; NULL: tokens are evaluated */
    ChoiceSet choices;
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
static Status checkpoint_choose(Evaluate *v) {
    const char *warnings = "";
    TRY(run_checkpoint_open(v->arguments.operands[0], &v->arena, &v->file, &warnings));
    status_warn("evaluate", warnings);
    snprintf(v->path, sizeof v->path, "%s", checkpoint_path(v->file));
    return OK;
}

static Status checkpoint_find(Evaluate *v) {
    World *world = v->e.world;
    bool leads = world_rank(world) == 0;
    TRY(world_agree(world, leads ? checkpoint_choose(v) : OK));
    TRY(world_broadcast(world, v->path, sizeof v->path));
    return world_agree(world, leads ? OK : checkpoint_open(v->path, &v->file));
}

static Status tokens_take(const EvaluateOptions *values, ConfigEvaluation *out) {
    if (values->tokens == NULL) return OK;
    if (strcmp(values->tokens, "all") == 0) {
        out->tokens = CONFIG_ALL;
        return OK;
    }
    if (value_parse_int(values->tokens, &out->tokens) && out->tokens > 0) return OK;
    return ERROR(STATUS_USAGE,
                 "--tokens requires a count such as 1M, or all, not '%.200s'; see --help",
                 values->tokens);
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
    char *text = NULL;
    const Arguments *a = &v->arguments;
    TRY(checkpoint_read_text(v->file, "config", &v->arena, &text));
    TRY(config_load_text(text, v->path, a->override_count, a->overrides, &v->config));
    Config *config = v->config;
    if (a->operand_count == 2 && choice_set_format(a->operands[1]) != CHOICES_NONE) {
        v->questions = a->operands[1];
    } else if (a->operand_count == 2) {
        config->data.val = (TokenPaths){.count = 1, .items = (const char *const *)&a->operands[1]};
    }
    if (v->questions == NULL && config->data.val.count == 0) {
        return ERROR(STATUS_USAGE,
                     "%s: the run names no data.val; name a token file: ./evaluate %s DATA",
                     a->operands[0], a->operands[0]);
    }
    TRY(tokens_take(&v->values, &config->evaluation));
    device_settle(v);
    experiment_configure(&v->e, config);
    return OK;
}

static Status tokenizer_id_read(Evaluate *v, TokenizerId *out) {
    char *name = NULL;
    int64_t hash = 0;
    TRY(checkpoint_read_text(v->file, "tokenizer", &v->arena, &name));
    if (failed(checkpoint_read_i64(v->file, "tokenizer_hash", &hash)))
        hash = 0; /* written by an older version */
    if (strcmp(name, TOKENIZER_UNKNOWN) == 0) name = "";
    *out = (TokenizerId){name, (uint64_t)hash};
    return OK;
}

/* Refuses data of another tokenizer: the loss of such a model would be meaningless. */
static Status tokenizer_check(Evaluate *v) {
    TokenizerId model, data = token_set_tokenizer_id(v->e.val_tokens);
    TRY(tokenizer_id_read(v, &model));
    if (tokenizer_ids_agree(model, data)) return OK;
    return ERROR(
        STATUS_DATA,
        "%s: made with the tokenizer %s, but the model of %s uses %s; make it with that one",
        token_set_path(v->e.val_tokens), data.name, v->path, model.name);
}

/* Opens the model's tokenizer for questions in text; those in tokens need none. */
static Status questions_read(Evaluate *v) {
    const Config *config = v->config;
    Tokenizer *tokenizer = NULL;
    TokenizerId id;
    TRY(tokenizer_id_read(v, &id));
    bool is_known = id.name[0] != '\0' || config->model.V >= VOCAB_OF_NAMELESS;
    if (is_known && choice_set_format(v->questions) == CHOICES_JSON)
        TRY(tokenizer_open_of(id, v->path, config->model.V, &tokenizer));
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

static Status load(Evaluate *v) {
    TRY(config_take(v));
    TRY(experiment_open_device(&v->e));
    if (v->questions != NULL) return questions_read(v);
    TRY(experiment_open_data(&v->e));
    TRY(windows_slide(v));
    return tokenizer_check(v);
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
    TRY(state_load_weights(&v->e, v->file, &v->arena));
    checkpoint_close(&v->file);
    return v->questions == NULL ? evaluator_create(&v->e, &v->evaluator) : OK;
}

typedef struct NamedNumber {
    const char *key;
    double value;
} NamedNumber;

/* One object: the checkpoint, the data, how many `what` it holds, and the numbers. */
static Status json_print(const Evaluate *v, int64_t step, const char *what, int64_t count,
                         const NamedNumber *numbers, size_t n) {
    const char *data = v->questions != NULL ? v->questions : token_set_path(v->e.val_tokens);
    json_t *object = json_object();
    json_object_set_new(object, "checkpoint", json_string(v->path));
    json_object_set_new(object, "step", json_integer(step));
    json_object_set_new(object, "data", json_string(data));
    json_object_set_new(object, what, json_integer(count));
    for (size_t i = 0; i < n; i++) {
        bool is_number = isfinite(numbers[i].value);
        json_object_set_new(object, numbers[i].key,
                            is_number ? json_real(numbers[i].value) : json_null());
    }
    char *line = json_dumps(object, JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(17));
    json_decref(object);
    if (line == NULL) return ERROR(STATUS_OUT_OF_MEMORY, "out of memory for the result");
    puts(line);
    free(line);
    return OK;
}

static void line_print(const Evaluate *v, const Evaluation *result, double seconds) {
    char details[96];
    evaluation_details(result, details, sizeof details);
    escape_say(stdout, "loss %.6f%s | perplexity %.4g | %lld tokens of %s | %s, %s on %s, %.2f s",
               result->loss, details, exp(result->loss), (long long)result->tokens,
               token_set_path(v->e.val_tokens), v->path,
               config_name("training.dtype", (int)v->e.config->training.dtype), v->e.device->name,
               seconds);
}

static Status print(const Evaluate *v, const Evaluation *result, int64_t step, double seconds) {
    const NamedNumber numbers[] = {{"loss", result->loss},
                                   {"stderr", result->std_error},
                                   {"perplexity", exp(result->loss)},
                                   {"bpb", result->bpb},
                                   {"seconds", seconds}};
    const char *note = evaluator_note(v->evaluator);
    if (note != NULL) fprintf(stderr, "evaluate: note: %s\n", note);
    if (v->values.json) {
        TRY(json_print(v, step, "tokens", result->tokens, numbers,
                       sizeof numbers / sizeof *numbers));
    } else {
        line_print(v, result, seconds);
    }
    return streams_flush(OK);
}

static Status scores_print(const Evaluate *v, const ChoiceScores *scores, int64_t step,
                           double seconds) {
    const NamedNumber numbers[] = {{"accuracy", scores->accuracy},
                                   {"accuracy_stderr", scores->std_error},
                                   {"accuracy_norm", scores->normalized},
                                   {"accuracy_norm_stderr", scores->normalized_error},
                                   {"loss", scores->loss},
                                   {"seconds", seconds}};
    if (v->values.json) {
        TRY(json_print(v, step, "questions", scores->questions, numbers,
                       sizeof numbers / sizeof *numbers));
        return streams_flush(OK);
    }
    escape_say(stdout,
               "accuracy %.4f +- %.4f | per token %.4f +- %.4f | loss %.4f | %lld questions of %s "
               "| %s, %s on %s, %.2f s",
               scores->accuracy, scores->std_error, scores->normalized, scores->normalized_error,
               scores->loss, (long long)scores->questions, v->questions, v->path,
               config_name("training.dtype", (int)v->config->training.dtype), v->e.device->name,
               seconds);
    return streams_flush(OK);
}

static Status evaluate(Evaluate *v) {
    World *world = v->e.world;
    Evaluation result;
    ChoiceScores scores;
    v->e.evaluates = true;
    TRY(checkpoint_find(v));
    int64_t step = checkpoint_step(v->file);
    TRY(world_agree(world, load(v)));
    TRY(experiment_connect(&v->e));
    TRY(plan(v));
    TRY(world_agree(world, experiment_allocate(&v->e)));
    TRY(world_agree(world, weights_load(v)));
    (void)watchdog_allow(v->e.watchdog, 0, "evaluation");
    double started = clock_seconds();
    Status status = v->questions == NULL ? evaluator_run(v->evaluator, &result)
                                         : choice_scores_find(&v->e, &v->choices, &scores);
    if (failed(status) && world_size(world) > 1)
        world_abort(world, status); /* the other ranks wait for this rank's sums */
    TRY(status);
    double seconds = clock_seconds() - started;
    if (world_rank(world) != 0) return world_agree(world, OK);
    return world_agree(world, v->questions == NULL ? print(v, &result, step, seconds)
                                                   : scores_print(v, &scores, step, seconds));
}

static void evaluate_close(Evaluate *v) {
    evaluator_destroy(&v->evaluator);
    choice_set_free(&v->choices);
    checkpoint_close(&v->file);
    experiment_destroy(&v->e);
    config_destroy(&v->config);
    arena_free(&v->arena);
    arguments_destroy(&v->arguments);
    world_destroy(&v->e.world);
}

int main(int argc, char **argv) {
    at_load_restore();
    thread_wait_choose(argv);
    streams_open();
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
