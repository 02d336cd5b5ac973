/* Experiment: a config made real, in the order in which a run comes to life: ranks, data, model and
 * plan, memory. train, generate and bench build theirs from the same pieces. */
#pragma once

#include "core/perf/ceilings.h"
#include "data/evaluation_set.h"
#include "data/loader.h"
#include "dist/gpu_collectives.h"
#include "dist/mpi_collectives.h"
#include "launch/config/config.h"
#include "launch/run/data_identity.h"
#include "nn/optim/schedule.h"
#include "nn/training.h"

enum { SAVE_ALLOWANCE = 600 }; /* seconds that rank 0 may take to save, while the others wait */

/* What --plan may suppose instead of what is here. */
typedef struct PlanFor {
    bool only; /* plan, do not run: a GPU that is not here may be planned for, and data need not
                  exist */
    size_t device_bytes; /* of such a GPU */
    int64_t ranks;       /* 0: as many as there are */
} PlanFor;

/* One backend of the device, as --plan shows it. */
typedef struct AttentionLine {
    const char *name, *refusal; /* NULL: accepted */
    bool picked, enabled;       /* enabled: the config names it */
    bool shadowed;              /* a row of the same name takes the call before it */
    double seconds;             /* forward and backward, where measured; else 0 */
    size_t planned_bytes;       /* of the whole run with this backend; 0 where it is not accepted */
    double predicted_s;         /* of a step with it; 0 where that is not known */
    int64_t largest_batch;      /* that fits memory_budget with it; 0: none. With --plan alone */
} AttentionLine;

typedef struct AttentionLines {
    AttentionLine lines[ATTENTION_MAX_BACKENDS];
    int count;
    const char *note; /* what --plan says of attention.pick: measured; or NULL */
} AttentionLines;

typedef struct Experiment {
    PlanFor plan;
    bool evaluates; /* and does not train: no gradients, no optimizer, no training data, nothing to
                       reduce */
    Config *config;
    World *world;
    Watchdog *watchdog;
    MpiCollectives *mpi; /* one of the two, by the device */
    GpuCollectives *gpu;
    bool gpu_is_shared; /* by several ranks, which sum through the host */
    Collectives collectives;
    Device *device;
    TokenFile *train_file, *val_file; /* val_file is NULL where there is none */
    Loader train;
    EvaluationSet val;
    DataIdentity data; /* of a run */
    Store *store;
    Parameters *parameters;
    Model *model;
    StepTensors step;
    AttentionChoice attention;
    const char *attention_name;     /* of the backend that was picked */
    AttentionLines attention_table; /* what became of each backend; on rank 0 */
    Training *training;
    int64_t T;
    size_t base_bytes; /* resident in this process before the plan is allocated */
    Ceilings ceilings; /* of the device, which predictions go by; what is not known of it is 0 */
    size_t communication_bytes; /* of the device, taken when the ranks' GPUs were connected, or as
                                   much as is usual where that is only planned; 0 on the CPU */
} Experiment;

/* Opens the device that the config asks for and this rank owns. Not collective. */
NODISCARD Status experiment_open_device(Experiment *e);

/* Starts the watchdog and what reduces gradients over ranks, for the device that is open.
 * Collective. */
NODISCARD Status experiment_connect(Experiment *e);

/* Opens the token files, and settles model.vocab_size. Not collective. Errors: STATUS_DATA for a
 * file that is wrong, or was made with another tokenizer than the other. */
NODISCARD Status experiment_open_data(Experiment *e);

/* Declares the model, records and plans the programs; decides data.batch_size where it is auto, and
 * the backend of attention where attention.pick is measured (which computes on the device, unless
 * it is only planned for). Collective: all ranks take the least batch, and rank 0's backend. */
NODISCARD Status experiment_plan(Experiment *e);

/* Records and plans for e->attention and a batch of B, in place of what was planned before; touches
 * no memory of the device, so that trying is cheap. Not collective. */
NODISCARD Status experiment_plan_for(Experiment *e, int64_t B);

/* Takes all memory, and where it trains initializes the weights from the seed. Not collective.
 * Errors: STATUS_NO_ROOM, before anything is taken, where the plan is more than may be taken
 * (launch/run/memory_search.h). */
NODISCARD Status experiment_allocate(Experiment *e);

void experiment_destroy(Experiment *e);

/* Ranks of the run, or those that a plan supposes. */
int64_t experiment_ranks(const Experiment *e);

/* Tokens of one optimizer step: ranks x batch_size x accumulation x T. */
int64_t experiment_tokens_per_step(const Experiment *e);

/* What the run takes of the device: tensors, and on a GPU also context, workspace of the products,
 * communication. */
size_t experiment_planned_bytes(const Experiment *e);

/* The model that a config describes, its vocabulary padded. */
ModelConfig experiment_model_config(const Config *config);

/* The dtype of a config's training.dtype. */
DType experiment_dtype(const Config *config);
