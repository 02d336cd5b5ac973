/* A training step as programs over one model: forward, loss, backward, and the update.
 *
 * With gradient accumulation a step replays several programs: the first micro-batch sets the
 * gradients, the others add to them, and the last one also reduces over ranks and updates. All
 * share one arena of the largest plan's size. Evaluation is another program over the same
 * parameters.
 *
 * Where the optimizer is sharded, a step gathers the weights that the step before has updated:
 * between two steps they are not whole, see nn/optim/weight_prefetch.h. */
#pragma once

#include "core/bound_program.h"
#include "nn/model.h"
#include "nn/optim/update.h"

/* What goes in and comes out of every replay; in the store. */
typedef struct StepTensors {
    Tensor *tokens, *targets; /* (B, T) i32 */
    Tensor *step;             /* u8: the StepState */
    Tensor *losses;           /* (B, T): of the micro-batch last replayed, or of evaluation */
    Tensor *loss, *norm;      /* (1): mean loss of the global batch, norm of its gradient */
    Tensor *first_nonfinite;  /* (1) i64: which gradient was the first that is not finite; see
                          core/ops/adamw.h */
} StepTensors;

typedef struct TrainingOptions {
    int64_t B, T;                /* of one micro-batch on one rank */
    int64_t accumulation, ranks; /* micro-batches a step, ranks: the global batch is their product
                                    with B. Without any micro-batch only evaluation is recorded. */
    const KernelChoice *attention;
    bool document_mask;  /* attention stays inside documents, */
    int32_t end_of_text; /* each of which this token ends */
    Recompute recompute;
    size_t logits_bytes;
    double clip;                    /* of the gradient's norm; 0: none */
    const Collectives *collectives; /* outlives the programs; NULL: one rank */
    bool embedding_rows;            /* embedding gradients may travel between ranks as rows:
                                       nn/optim/embedding_gradients.h */
} TrainingOptions;

/* A micro-batch by its place in the step, and the programs beside them. */
typedef enum TrainingProgram {
    MICRO_ONLY,
    MICRO_FIRST,
    MICRO_MIDDLE,
    MICRO_LAST,
    EVALUATION,       /* from tokens and targets to losses; holds no collective */
    WEIGHT_GATHERING, /* makes the weights whole between steps */
    TRAINING_PROGRAMS
} TrainingProgram;

typedef struct Training {
    BoundProgram programs[TRAINING_PROGRAMS]; /* empty where the step does not need one */
} Training;

/* Declares the step's tensors in the store. */
NODISCARD Status step_tensors_create(Store *store, int64_t B, int64_t T, DType dtype,
                                     StepTensors *out);

/* Records and plans everything for a target; touches no device. */
NODISCARD Status training_create(const Model *model, const Parameters *parameters,
                                 const StepTensors *tensors, Target target,
                                 const TrainingOptions *options, Training **out);
void training_destroy(Training **training);

/* Bytes of the arena that the programs share. */
size_t training_arena_bytes(const Training *training);

/* Takes the arena from the device and binds the programs to it. */
NODISCARD Status training_bind(Training *training, Device *device);

/* Gathers the weights that the last step has left sharded: before evaluation, and before any other
 * read between steps. Collective. */
NODISCARD Status training_gather_weights(const Training *training);

/* Which program micro-batch `index` of `accumulation` replays. */
TrainingProgram training_micro_batch(int64_t index, int64_t accumulation);

/* The call of the first layer's attention, as the step's first program recorded it. NULL: the model
 * has none. */
const AttentionCall *training_attention_call(const Training *training);

/* The plan that needs the most. */
const Plan *training_largest_plan(const Training *training);
