/* Experiment: the ranks, device, data, model and programs of one config, opened in this order.
 * train, evaluate, generate and bench use the same functions. */
#pragma once

#include "data/evaluation_set.h"
#include "data/loader.h"
#include "dist/gpu_collectives.h"
#include "dist/mpi_collectives.h"
#include "launch/config/resolved.h"
#include "launch/run/backend_table.h"
#include "launch/run/data_identity.h"
#include "launch/run/probe.h"

enum { SAVE_ALLOWANCE = 600 }; /* seconds that rank 0 may take to save, while the others wait */

/* The machine of --plan, if it is not this one. */
typedef struct PlanFor {
    bool only;           /* plan, do not run: the GPU and the data need not exist */
    size_t device_bytes; /* memory of a GPU that is not present */
    int64_t ranks;       /* 0: the number of existing ranks */
    int64_t hosts;       /* of these ranks; 0: unknown, time is predicted without communication */
    double network;      /* bytes per second of a host, each way */
} PlanFor;

typedef struct Experiment {
    PlanFor plan;
    bool evaluates;       /* no gradients, no optimizer, no training data, no reductions */
    bool keeps_logits;    /* of evaluation, as step.logits */
    const Config *config; /* borrowed */
    Resolved resolved;    /* the values of its `auto`s */
    World *world;
    Watchdog *watchdog;
    MpiCollectives *mpi; /* one of the two, by the device */
    GpuCollectives *gpu;
    bool gpu_is_shared; /* by several ranks, which sum through the host */
    Collectives collectives;
    Device *device;
    TokenSet *train_tokens, *val_tokens; /* val_tokens is NULL if there is none */
    Loader train;
    EvaluationSet val;
    StatusRecord missing; /* with --plan: why data.train could not be opened; or OK */
    DataIdentity data;    /* of a run */
    Recorded recorded;
    PlanResult planned;    /* of the recording */
    int phase;             /* of the next step: see launch/run/phases.h */
    BackendTable backends; /* the device's attention backends, compared; on rank 0 */
    int64_t T;
    size_t base_bytes;          /* resident in this process before the plan is allocated */
    Ceilings ceilings;          /* of the device; 0: unknown */
    size_t communication_bytes; /* of the device, taken to connect the ranks' GPUs (with --plan: the
                                   usual amount); 0 on the CPU */
} Experiment;

/* Sets the config, and the values of `resolved` that it determines. */
void experiment_configure(Experiment *e, const Config *config);

/* Opens the device that the config asks for and this rank owns. Not collective. */
NODISCARD Status experiment_open_device(Experiment *e);

/* Whether the plan is for a GPU that this host lacks, while a run here would take the CPU. */
bool experiment_would_use_cpu(const Experiment *e);

/* Starts the watchdog and connects the ranks for reductions on the open device; with --plan it only
 * assumes their memory. Collective. */
NODISCARD Status experiment_connect(Experiment *e);

/* Opens the token files; resolves model.vocab_size and data.end_of_text. With --plan data.train may
 * be missing if model.vocab_size is set. Not collective. Errors:
 * STATUS_DATA for a damaged file, and for two files of different tokenizers; STATUS_CONFIG if the
 * end-of-text token is unknown, or is not that of the data. */
NODISCARD Status experiment_open_data(Experiment *e);

/* The inputs of a plan of this experiment, with the resolved batch and attention backends. It
 * borrows from the experiment. Not collective. */
PlanInput experiment_plan_input(const Experiment *e);

/* The names of attention.backends, in order. */
KernelChoice experiment_attention(const Resolved *resolved);

/* Records and plans for the resolved batch and backends, and replaces the previous recording; sets
 * e->planned. Uses no device. Not collective. */
NODISCARD Status experiment_record(Experiment *e);

void experiment_destroy(Experiment *e);

/* Whether this rank keeps snapshots in the memory of its host: with checkpoint.memory_interval the
 * first rank of every host; with a sharded optimizer rank 0, which gathers them, and the first rank
 * on another host. Not collective. */
bool experiment_keeps_snapshots(const Experiment *e);

/* Ranks of the run, or of --plan --ranks. */
int64_t experiment_ranks(const Experiment *e);

/* The phases of the run, with the resolved batch. */
Phases experiment_phases(const Experiment *e);

/* Micro-batches of a step of the current phase. */
int64_t experiment_accumulation(const Experiment *e);

/* Tokens of an optimizer step of the current phase: ranks x batch_size x accumulation x T. */
int64_t experiment_tokens_per_step(const Experiment *e);

/* Of the model, with the windows of the current phase (nn/model.h). */
double experiment_flops_per_token(const Experiment *e);

/* The model of a config, with padded vocabulary. */
ModelConfig experiment_model_config(const Config *config, int64_t vocab_size);
