#include "launch/config/schema.h"

#include "core/ops/adamw.h"
#include "launch/config/suggest.h"

#include <stdint.h>
#include <string.h>

static const char *const device_names[] = {"auto", "cpu", "cuda", NULL};
static const char *const preset_names[] = {"none",       "gpt2",    "gpt2-medium",
                                           "gpt2-large", "gpt2-xl", NULL};
static const char *const backend_names[] = {"baseline", "math", "mem_efficient", "flash", NULL};
static const char *const pick_names[] = {"order", "measured", "predicted", NULL};
static const char *const dtype_names[] = {"float32", "float64", "bfloat16",
                                          "float16", "tf32",    NULL};
static const char *const recompute_names[] = {"none", "gelu", "block", NULL};
static const char *const reduce_names[] = {"best", "last", "mean", NULL};

#define FREE RESUME_FREE
#define MUST RESUME_MUST_MATCH
#define BATCH RESUME_GLOBAL_BATCH
#define AT(member) offsetof(Config, member)
#define ANY 0, 0, false, NULL
#define FROM(low, high) (low), (high), false, NULL
#define BELOW(low, high) (low), (high), true, NULL
#define ONE_OF(names) 0, 0, false, (names)
#define MANY 1e15

/* clang-format off */
const Field schema[] = {
    {"name", FIELD_STRING, NULL, ANY, AT(name), FREE,
     "what the run is called; without it, the file's name without its ending"},
    {"seed", FIELD_U64, "1337", ANY, AT(seed), MUST,
     "seeds the initial weights, dropout and the order of the data"},
    {"device", FIELD_ENUM, "auto", ONE_OF(device_names), AT(device), FREE,
     "where to compute; auto takes a GPU where there is one"},
    {"share_gpu", FIELD_BOOL, "false", ANY, AT(share_gpu), FREE,
     "lets several ranks of a host share a GPU, summing through the host; slow, for tests"},
    {"threads", FIELD_INT_OR_AUTO, "auto", FROM(1, 4096), AT(threads), FREE,
     "OpenMP threads a rank; auto is the rank's share of the cores and of the CPU time that "
     "control groups allow"},

    {"model.preset", FIELD_ENUM, "gpt2", ONE_OF(preset_names), AT(model.preset), FREE,
     "sizes to start from; a size that is given replaces the preset's; none, which needs all "
     "four, where all four are given"},
    {"model.n_layer", FIELD_INT, NULL, FROM(1, 10000), AT(model.n_layer), MUST,
     "transformer blocks"},
    {"model.n_head", FIELD_INT, NULL, FROM(1, 10000), AT(model.n_head), MUST,
     "attention heads a block"},
    {"model.n_embd", FIELD_INT, NULL, FROM(1, 1000000), AT(model.n_embd), MUST,
     "channels; a multiple of n_head"},
    {"model.block_size", FIELD_INT, NULL, FROM(1, 16777216), AT(model.block_size), MUST,
     "context length, in tokens"},
    {"model.vocab_size", FIELD_INT_OR_AUTO, "auto", FROM(1, 16777216), AT(model.vocab_size), MUST,
     "tokens in the vocabulary; auto takes the data's, and a preset brings 50257"},
    {"model.bias", FIELD_BOOL, "true", ANY, AT(model.bias), MUST,
     "biases in linear layers and layer norms"},
    {"model.dropout", FIELD_FLOAT, "0", BELOW(0, 1), AT(model.dropout), MUST,
     "probability to drop an activation"},
    {"model.pad_vocab", FIELD_INT, "64", FROM(1, 65536), AT(model.pad_vocab), MUST,
     "pads the vocabulary to a multiple of this; 1 pads nothing"},

    {"attention.backends", FIELD_ENUM_LIST, "[flash, mem_efficient, math, baseline]",
     ONE_OF(backend_names), AT(attention.backends), MUST,
     "the implementations that may be used, the preferred first"},
    {"attention.pick", FIELD_ENUM, "order", ONE_OF(pick_names), AT(attention.pick), MUST,
     "take the first backend that can, the one measured fastest, or the one whose predicted "
     "tokens a second are the most"},
    {"attention.document_mask", FIELD_BOOL, "false", ANY, AT(attention.document_mask), MUST,
     "tokens attend only within their own document, which ends with data.end_of_text; positions "
     "count on through the row"},

    {"data.train", FIELD_STRING, NULL, ANY, AT(data.train), FREE,
     "token file to train on; at a resume of the same content, at any path; ./prepare makes one; "
     "required"},
    {"data.val", FIELD_STRING, NULL, ANY, AT(data.val), FREE,
     "token file to evaluate on, with the same rule; null for no evaluation"},
    {"data.end_of_text", FIELD_INT_OR_AUTO, "auto", FROM(1, 16777215), AT(data.end_of_text), MUST,
     "the token that ends a document; auto takes what the data file says"},
    {"data.batch_size", FIELD_INT_OR_AUTO, "auto", FROM(1, 1000000), AT(data.batch_size), BATCH,
     "sequences a rank and micro-step; auto is the largest that fits memory_budget"},
    {"memory_budget", FIELD_BUDGET, "90%", ANY, AT(memory_budget), FREE,
     "memory the plan may take, of each rank's device"},

    {"training.dtype", FIELD_ENUM, "float32", ONE_OF(dtype_names), AT(training.dtype), MUST,
     "the activations' type; bfloat16, float16 and tf32 need a GPU"},
    {"training.gradient_accumulation_steps", FIELD_INT, "1", FROM(1, 1000000),
     AT(training.gradient_accumulation_steps), BATCH,
     "micro-steps a step"},
    {"training.stop.steps", FIELD_INT, NULL, FROM(1, MANY), AT(training.stop.steps), FREE,
     "stop after so many steps"},
    {"training.stop.tokens", FIELD_INT, NULL, FROM(1, MANY), AT(training.stop.tokens), FREE,
     "stop after so many tokens"},
    {"training.stop.time", FIELD_DURATION, NULL, FROM(0.001, 1e9), AT(training.stop.time), FREE,
     "stop after so much training time, over all resumes; the first rule met ends the run, and "
     "one is required"},
    {"training.recompute", FIELD_ENUM, "none", ONE_OF(recompute_names),
     AT(training.recompute), MUST,
     "what backward computes again instead of keeping it"},
    {"training.shard_optimizer", FIELD_BOOL, "false", ANY, AT(training.shard_optimizer), FREE,
     "each rank keeps and updates its share of the optimizer's state alone (ZeRO stage 1)"},

    {"optimizer.lr", FIELD_FLOAT, "6e-4", FROM(0, 1000), AT(optimizer.lr), MUST,
     "the highest learning rate"},
    {"optimizer.betas", FIELD_FLOAT_PAIR, "[0.9, 0.95]", BELOW(0, 1), AT(optimizer.betas), MUST,
     "AdamW's decay rates of the two moments"},
    {"optimizer.eps", FIELD_FLOAT, "1e-8", FROM(ADAMW_LEAST_EPS, 1), AT(optimizer.eps), MUST,
     "AdamW's epsilon; at least 1e-20"},
    {"optimizer.weight_decay", FIELD_FLOAT, "0.1", FROM(0, 1000), AT(optimizer.weight_decay), MUST,
     "weight decay, on matrices only"},
    {"optimizer.grad_clip", FIELD_FLOAT, "1", FROM(0, 1e9), AT(optimizer.grad_clip), MUST,
     "clips the gradient to this norm; 0 clips nothing"},

    {"lr_scheduler.warmup", FIELD_INT, "2000", FROM(0, MANY), AT(lr_scheduler.warmup), FREE,
     "steps of linear warm-up"},
    {"lr_scheduler.decay", FIELD_INT, "600000", FROM(1, MANY), AT(lr_scheduler.decay), FREE,
     "the step at which the cosine reaches min_lr"},
    {"lr_scheduler.min_lr", FIELD_FLOAT, "6e-5", FROM(0, 1000), AT(lr_scheduler.min_lr), FREE,
     "the learning rate at the end; at most optimizer.lr"},

    {"evaluation.interval", FIELD_INT, "250", FROM(0, MANY), AT(evaluation.interval), FREE,
     "evaluate every so many steps; 0 only at the end"},
    {"evaluation.tokens", FIELD_INT_OR_ALL, "1M", FROM(1, MANY), AT(evaluation.tokens), FREE,
     "tokens in an evaluation, spread over data.val: the same ones whatever the ranks and the "
     "batch"},
    {"checkpoint.interval", FIELD_INTERVAL, "10m", ANY, AT(checkpoint.interval), FREE,
     "save this often: a time, or steps; 0 only at the end"},
    {"checkpoint.keep", FIELD_INT, "2", FROM(1, 1000000), AT(checkpoint.keep), FREE,
     "the newest checkpoints that are kept"},
    {"checkpoint.best", FIELD_BOOL, "true", ANY, AT(checkpoint.best), FREE,
     "also save at each evaluation that is the best so far, and keep that checkpoint beside the "
     "newest"},
    {"logging.interval", FIELD_INT, "10", FROM(1, MANY), AT(logging.interval), FREE,
     "a log line every so many steps"},
    {"autotune", FIELD_BOOL, "true", ANY, AT(autotune), FREE,
     "time the candidates for each matrix product once, on a GPU, and keep the fastest"},
    {"deadline", FIELD_DURATION, "7s", FROM(0.1, 1e6), AT(deadline), FREE,
     "how long a collective waits without progress on a rank before the run is ended"},
    {"output", FIELD_STRING, "runs/${name}", ANY, AT(output), FREE, "the run's directory"},

    {"sweep", FIELD_SWEEP, NULL, ANY, AT(sweep), FREE,
     "runs to make of this config: a map of keys to lists is a grid, a list of maps its points"},
    {"report.metric", FIELD_STRING, "val/loss", ANY, AT(report.metric), FREE,
     "the column of metrics.jsonl that a study compares"},
    {"report.reduce", FIELD_ENUM, "best", ONE_OF(reduce_names), AT(report.reduce), FREE,
     "a run's value: its lowest (of tok_per_s and mfu its highest), its last, or its mean"},
    {"report.x", FIELD_KEY, NULL, ANY, AT(report.x), FREE,
     "the key along a study's horizontal axis"},
    {"report.series", FIELD_KEY, NULL, ANY, AT(report.series), FREE,
     "the key that makes a study's lines"},
    {"launch.retries", FIELD_INT, "2", FROM(0, 1000), AT(launch.retries), FREE,
     "how often ./sweep starts a point again that failed"},
    {"launch.local.ranks", FIELD_INT, "1", FROM(1, 100000), AT(launch.local.ranks), FREE,
     "ranks a point with ./sweep --local"},
    {"launch.local.parallel", FIELD_INT, "1", FROM(1, 1024), AT(launch.local.parallel), FREE,
     "points at a time with ./sweep --local, each with its share of the GPUs or cores"},
    {"launch.slurm.nodes", FIELD_INT, "1", FROM(1, 100000), AT(launch.slurm.nodes), FREE,
     "nodes a job"},
    {"launch.slurm.ranks_per_node", FIELD_INT, "1", FROM(1, 100000),
     AT(launch.slurm.ranks_per_node), FREE,
     "ranks a node; one a GPU"},
    {"launch.slurm.cpus_per_rank", FIELD_INT, "1", FROM(1, 100000),
     AT(launch.slurm.cpus_per_rank), FREE,
     "cores a rank"},
    {"launch.slurm.time", FIELD_DURATION, NULL, FROM(60, 1e9), AT(launch.slurm.time), FREE,
     "wall time a job"},
    {"launch.slurm.array_limit", FIELD_INT, "4", FROM(1, 100000),
     AT(launch.slurm.array_limit), FREE,
     "jobs of a study at a time"},
    {"launch.slurm.requeue", FIELD_BOOL, "true", ANY, AT(launch.slurm.requeue), FREE,
     "requeue a job that stopped early with a good checkpoint"},
    {"launch.slurm.partition", FIELD_STRING, NULL, ANY, AT(launch.slurm.partition), FREE,
     "Slurm's partition"},
    {"launch.slurm.account", FIELD_STRING, NULL, ANY, AT(launch.slurm.account), FREE,
     "Slurm's account"},
    {"launch.slurm.options", FIELD_STRING_LIST, "[]", ANY, AT(launch.slurm.options), FREE,
     "further options of sbatch, such as --gres=gpu:8"},
    {"launch.slurm.setup", FIELD_SHELL_LINES, "[]", ANY, AT(launch.slurm.setup), FREE,
     "shell lines before mpirun, such as module loads"},
};
/* clang-format on */

const size_t schema_count = sizeof schema / sizeof schema[0];

const char *const preset_keys[PRESET_KEYS] = {"model.n_layer", "model.n_head", "model.n_embd",
                                              "model.block_size", "model.vocab_size"};

/* Radford et al. 2019, table 2. */
static const char *const presets[][PRESET_KEYS] = {
    [CONFIG_PRESET_GPT2] = {"12", "12", "768", "1024", "50257"},
    [CONFIG_PRESET_GPT2_MEDIUM] = {"24", "16", "1024", "1024", "50257"},
    [CONFIG_PRESET_GPT2_LARGE] = {"36", "20", "1280", "1024", "50257"},
    [CONFIG_PRESET_GPT2_XL] = {"48", "25", "1600", "1024", "50257"},
};

const char *const *preset_sizes(ConfigPreset preset) {
    return preset == CONFIG_PRESET_NONE ? NULL : presets[preset];
}

const Field *schema_find(const char *path) {
    for (size_t i = 0; i < schema_count; i++) {
        if (strcmp(schema[i].path, path) == 0) return &schema[i];
    }
    return NULL;
}

bool schema_is_group(const char *path) {
    size_t bytes = strlen(path);
    for (size_t i = 0; i < schema_count; i++) {
        if (strncmp(schema[i].path, path, bytes) == 0 && schema[i].path[bytes] == '.') return true;
    }
    return false;
}

static const char *last_part(const char *path) {
    const char *dot = strrchr(path, '.');
    return dot == NULL ? path : dot + 1;
}

/* A key in the wrong group is as near as one slip. */
static size_t path_distance(const char *path, const char *candidate) {
    size_t whole = edit_distance(path, candidate);
    size_t part = strcmp(last_part(path), last_part(candidate)) == 0 ? 1 : SIZE_MAX;
    return whole < part ? whole : part;
}

static void consider(const char *path, const char *candidate, size_t bytes, size_t *least,
                     char *buffer, size_t room) {
    char name[64];
    if (bytes >= sizeof name || bytes >= room) return;
    memcpy(name, candidate, bytes);
    name[bytes] = '\0';
    size_t distance = path_distance(path, name);
    if (distance >= *least) return;
    *least = distance;
    memcpy(buffer, name, bytes + 1);
}

const char *schema_suggest(const char *path, char *buffer, size_t bytes) {
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < schema_count; i++) {
        const char *key = schema[i].path;
        for (const char *dot = strchr(key, '.'); dot != NULL; dot = strchr(dot + 1, '.')) {
            consider(path, key, (size_t)(dot - key), &least, buffer, bytes);
        }
        consider(path, key, strlen(key), &least, buffer, bytes);
    }
    return least == 1 || is_slip(least, last_part(path)) ? buffer : NULL;
}

void schema_write_type(const Field *field, FILE *file) {
    static const char *const types[] = {
        [FIELD_STRING] = "string",
        [FIELD_KEY] = "key",
        [FIELD_INT] = "integer",
        [FIELD_INT_OR_AUTO] = "integer|auto",
        [FIELD_INT_OR_ALL] = "integer|all",
        [FIELD_U64] = "integer",
        [FIELD_FLOAT] = "number",
        [FIELD_FLOAT_PAIR] = "[number, number]",
        [FIELD_BOOL] = "true|false",
        [FIELD_BUDGET] = "bytes|percent",
        [FIELD_DURATION] = "duration",
        [FIELD_INTERVAL] = "duration|steps",
        [FIELD_ENUM] = "",
        [FIELD_ENUM_LIST] = "list of ",
        [FIELD_STRING_LIST] = "list of strings",
        [FIELD_SHELL_LINES] = "list of strings",
        [FIELD_SWEEP] = "map|list of maps",
    };
    fputs(types[field->type], file);
    if (field->names == NULL) return;
    for (size_t i = 0; field->names[i] != NULL; i++)
        fprintf(file, "%s%s", i == 0 ? "" : "|", field->names[i]);
}
