/* Config: one experiment, read from YAML, checked and complete.
 *
 * A plain struct, read-only after loading; launch/config/resolved.h holds the values of its `auto`
 * keys. One table, launch/config/schema.c, lists the keys, their types, defaults and meanings;
 * docs/config.md is generated from it.
 *
 * All errors are STATUS_CONFIG (exit code 78) with a message of the form `FILE:LINE:COLUMN: error:
 * WHAT`, followed by the source line and an underline; the first line is complete in itself.
 * Nothing here is collective. */
#pragma once

#include "core/base/arena.h"
#include "core/ops/muon.h"
#include "core/status.h"
#include "data/token_paths.h"
#include "nn/attention/backend.h"
#include "nn/model_config.h"
#include "nn/optim/schedule.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Placeholder values of an `int or auto` before it is resolved, and of `all` in an `int or all`.
 * Numbers are positive. */
enum { CONFIG_AUTO = 0, CONFIG_ALL = 0 };

typedef enum ConfigDevice {
    CONFIG_DEVICE_AUTO,
    CONFIG_DEVICE_CPU,
    CONFIG_DEVICE_CUDA
} ConfigDevice;
typedef enum ConfigPick {
    CONFIG_PICK_ORDER,
    CONFIG_PICK_MEASURED,
    CONFIG_PICK_PREDICTED
} ConfigPick;
typedef enum ConfigDtype {
    CONFIG_DTYPE_FLOAT32,
    CONFIG_DTYPE_FLOAT64,
    CONFIG_DTYPE_BFLOAT16,
    CONFIG_DTYPE_FLOAT16,
    CONFIG_DTYPE_TF32
} ConfigDtype;
typedef enum ConfigRecompute {
    CONFIG_RECOMPUTE_NONE,
    CONFIG_RECOMPUTE_GELU,
    CONFIG_RECOMPUTE_BLOCK
} ConfigRecompute;
typedef enum ConfigReduce {
    CONFIG_REDUCE_BEST,
    CONFIG_REDUCE_LAST,
    CONFIG_REDUCE_MEAN
} ConfigReduce;
/* A memory budget: `percent` of the device's memory if positive, otherwise `bytes`. */
typedef struct ConfigBudget {
    size_t bytes;
    double percent;
} ConfigBudget;

/* An interval: every `seconds` if positive, otherwise every `steps`; both 0: only at the end. */
typedef struct ConfigInterval {
    int64_t steps;
    double seconds;
} ConfigInterval;

/* Enum values in the user's order, each at most once. */
typedef struct ConfigChoices {
    int count;
    int items[ATTENTION_NAMES];
} ConfigChoices;

typedef struct ConfigStrings {
    int count;
    const char **items;
} ConfigStrings;

/* A part of the run: `percent` of it if positive, `tokens` if positive, else `steps`. */
typedef struct ConfigLength {
    int64_t steps, tokens;
    double percent;
} ConfigLength;

/* Values that apply in turn, each from a point of the run on: [[0, A], [30%, B]]. The first starts
 * at 0; the starts increase and have one unit. */
enum { CONFIG_PHASES_MAX = 8 };

/* training.batch_schedule; count 0: none. */
typedef struct ConfigBatchSchedule {
    int count;
    ConfigLength from[CONFIG_PHASES_MAX];
    int64_t tokens[CONFIG_PHASES_MAX]; /* of a step */
    const struct YamlNode *node;       /* for messages */
} ConfigBatchSchedule;

/* attention.window as a schedule; count 0: none. The last one is the model's. */
typedef struct ConfigWindowSchedule {
    int count;
    ConfigLength from[CONFIG_PHASES_MAX];
    LayerPattern windows[CONFIG_PHASES_MAX];
} ConfigWindowSchedule;

typedef struct ConfigAttention {
    ConfigChoices backends; /* indices into attention_names */
    ConfigPick pick;
    bool document_mask;
    ConfigWindowSchedule window;
} ConfigAttention;

typedef struct ConfigData {
    TokenPaths train;
    TokenPaths val;      /* none: no evaluation */
    int64_t end_of_text; /* CONFIG_AUTO: that of the data */
    int64_t batch_size;  /* sequences per rank and micro-step; CONFIG_AUTO: the largest that fits
                            memory_budget */
} ConfigData;

/* The first rule that is met ends the run; 0: no rule. At least one is set. */
typedef struct ConfigStop {
    int64_t steps, tokens;
    double time;        /* training seconds */
    ConfigLength early; /* ends it here already, in the schedule of the whole run */
} ConfigStop;

typedef enum ConfigMatmul { CONFIG_MATMUL_BF16, CONFIG_MATMUL_FP8 } ConfigMatmul;
typedef enum ConfigProduct {
    CONFIG_PRODUCT_FORWARD,
    CONFIG_PRODUCT_DX,
    CONFIG_PRODUCT_DW
} ConfigProduct;
typedef enum ConfigFloat8Format { CONFIG_FLOAT8_E5M2, CONFIG_FLOAT8_E4M3 } ConfigFloat8Format;
typedef enum ConfigScaling { CONFIG_SCALING_DELAYED, CONFIG_SCALING_CURRENT } ConfigScaling;
typedef enum ConfigFastAccumulation {
    CONFIG_FAST_NONE,
    CONFIG_FAST_FORWARD,
    CONFIG_FAST_ALL
} ConfigFastAccumulation;

/* Used with matmul fp8: nn/float8_training.h. */
typedef struct ConfigFloat8 {
    ConfigChoices products; /* of ConfigProduct */
    bool head;
    ConfigFloat8Format gradient;
    ConfigScaling scaling;
    int64_t history; /* steps */
    ConfigFastAccumulation fast_accumulation;
} ConfigFloat8;

typedef struct ConfigTraining {
    ConfigDtype dtype;
    ConfigMatmul matmul;
    ConfigFloat8 fp8;
    int64_t gradient_accumulation_steps;
    ConfigBatchSchedule batch_schedule;
    ConfigStop stop;
    ConfigRecompute recompute;
    bool shard_optimizer;
} ConfigTraining;

typedef enum ConfigMatrices { CONFIG_MATRICES_ADAMW, CONFIG_MATRICES_MUON } ConfigMatrices;

typedef struct ConfigMuon {
    double lr, momentum, momentum_start;
    int64_t momentum_warmup; /* steps */
    bool nesterov;
    MuonIteration iteration;
    bool normuon;
    double beta2, weight_decay;
    bool cautious;
} ConfigMuon;

/* The update of one kind of parameter; NaN stands for auto, the value of `optimizer`. */
typedef struct ConfigGroup {
    double lr, betas[2], weight_decay;
} ConfigGroup;

typedef struct ConfigLrReference {
    int64_t batch_tokens; /* 0: no rule */
    double exponent;
} ConfigLrReference;

typedef struct ConfigOptimizer {
    double lr;
    double betas[2];
    double eps, weight_decay;
    double grad_clip; /* 0: no clipping */
    ConfigMatrices matrices;
    ConfigMuon muon;
    ConfigGroup embeddings, head, vectors;
    const struct YamlNode *groups; /* NULL: none; see launch/config/group_rules.h */
    int64_t beta2_half_life;       /* tokens; 0: betas[1] */
    ConfigLrReference lr_reference;
} ConfigOptimizer;

typedef struct ConfigSchedule {
    ScheduleShape shape;
    ConfigLength warmup, decay;
    double min_lr;
} ConfigSchedule;

typedef struct ConfigEvaluation {
    int64_t interval; /* steps; 0: only at the end */
    bool at_start;    /* also before step 1 */
    int64_t tokens;   /* CONFIG_ALL: the whole file */
    int64_t sample;   /* tokens of text to generate; 0: none */
} ConfigEvaluation;

typedef struct ConfigCheckpoint {
    ConfigInterval interval;
    int64_t keep;
    bool sharded;                   /* every rank writes its shard */
    bool best;                      /* saved at the best evaluation, and kept */
    ConfigInterval memory_interval; /* 0: no snapshots in the memory of hosts */
} ConfigCheckpoint;

typedef struct ConfigLogging {
    int64_t interval; /* steps */
    bool tensorboard; /* event files */
} ConfigLogging;

typedef struct ConfigNoiseScale {
    int64_t interval; /* steps; 0: not measured */
} ConfigNoiseScale;

typedef struct ConfigReport {
    const char *metric;
    ConfigReduce reduce;
    const char *x, *series; /* keys of the config, or NULL */
} ConfigReport;

typedef struct ConfigSlurm {
    int64_t nodes, ranks_per_node, cpus_per_rank;
    double time; /* seconds; 0: the partition's limit */
    int64_t array_limit;
    bool requeue;
    const char *partition, *account; /* NULL: Slurm's default */
    ConfigStrings options;           /* further options of sbatch, such as `--gres=gpu:8` */
    ConfigStrings setup;             /* shell lines before mpirun, such as `module load openmpi` */
} ConfigSlurm;

typedef struct ConfigLocal {
    int64_t ranks, parallel; /* of a point; points at a time */
} ConfigLocal;

typedef struct ConfigLaunch {
    int64_t retries;
    ConfigLocal local;
    ConfigSlurm slurm;
} ConfigLaunch;

typedef struct Config {
    const char *name;
    uint64_t seed;
    ConfigDevice device;
    bool share_gpu;    /* several ranks may use one GPU */
    int64_t threads;   /* OpenMP threads per rank; CONFIG_AUTO: the rank's share of the machine */
    int preset;        /* index into model_preset_names */
    ModelConfig model; /* V is CONFIG_AUTO for that of the data; Vp is unset */
    int64_t pad_vocab; /* the vocabulary is padded to a multiple of this; 1: no padding */
    ConfigAttention attention;
    ConfigData data;
    ConfigBudget memory_budget;
    ConfigTraining training;
    ConfigOptimizer optimizer;
    ConfigSchedule lr_scheduler;
    ConfigEvaluation evaluation;
    ConfigCheckpoint checkpoint;
    ConfigLogging logging;
    ConfigNoiseScale noise_scale;
    bool autotune;
    double deadline; /* seconds a collective waits without progress on a rank */
    const char *output;
    const char *branch_from;      /* NULL: a new run starts with initial weights */
    const struct YamlNode *sweep; /* NULL: no sweep; see launch/config/sweep_points.h */
    ConfigReport report;
    ConfigLaunch launch;
    Arena arena; /* owns every string above */
    Arena tree;  /* owns `sweep`, `optimizer.groups` and the node of a batch schedule */
} Config;

/* Writes every key with its value as YAML, in the schema's order; loading it gives the same
 * config. */
NODISCARD Status config_write(const Config *config, FILE *file);

/* The same as a string for free(); NULL if memory is out. */
char *config_text(const Config *config);

/* Whether a run that was saved under `saved` may continue under `now`. Otherwise STATUS_CONFIG: one
 * line names each differing key that must match, with both values; docs/config.md lists the keys
 * that may change. An `auto` in `now` matches any frozen value. An `auto` in `saved`, which no run
 * has resolved yet, matches any value. */
NODISCARD Status config_compare_resume(const Config *saved, const Config *now);

/* Whether a run under `now` may start from a checkpoint of a run under `saved`: as for a resume,
 * but batches, rates of the optimizer and the choice of kernels may differ. */
NODISCARD Status config_compare_branch(const Config *saved, const Config *now);

/* Lists the differences of a resumed run that are allowed: schedule, stop rule, evaluation,
 * checkpoints, logging, batches; "" for none. *text is for free(), also after a failure. */
NODISCARD Status config_changes(const Config *saved, const Config *now, char **text);

/* The name of an enum key's value: config_name("training.dtype", config->training.dtype) is
 * "float32"; NULL if the key has no such value. */
const char *config_name(const char *key, int value);

/* Writes the keys for --help, one per line. */
void config_help(FILE *file);

/* Writes the reference page, docs/config.md. */
NODISCARD Status config_reference(FILE *file);
