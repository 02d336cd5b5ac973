/* A training step as programs over one model: forward, loss, backward, and the update.
 *
 * A run may change its accumulation and its windows of attention: it has programs for each of these
 * phases.
 *
 * With gradient accumulation a step replays several programs: the first micro-batch sets the
 * gradients, the others add to them, and the last one also reduces over ranks and updates. All
 * share one arena, which has the size of the largest plan. Evaluation is another program over the
 * same parameters.
 *
 * With a sharded optimizer a step gathers the weights that the previous step updated; between steps
 * they are incomplete (nn/optim/weight_prefetch.h). */
#pragma once

#include "core/bound_program.h"
#include "nn/float8_training.h"
#include "nn/optim/noise_scale.h"
#include "nn/optim/update.h"

/* Inputs and outputs of every replay, in the store. */
typedef struct StepTensors {
    Tensor *tokens, *targets; /* (B, T) i32 */
    Tensor *step;             /* u8: the StepState */
    Tensor *losses;           /* (B, T): of the last micro-batch replayed, or of evaluation */
    Tensor *logits;           /* (B, T, Vp): of evaluation, before a softcap; NULL: not kept */
    Tensor *loss, *norm;      /* (1): mean loss of the global batch, norm of its gradient */
    Tensor *noise;           /* (2): unit_norm and norm of a NoiseSample, in the gradients' scale */
    Tensor *first_nonfinite; /* (1) i64: the first non-finite gradient; see core/ops/adamw.h */
} StepTensors;

/* A step has `accumulation` micro-batches on each rank. */
typedef struct TrainingPhase {
    int64_t accumulation;
    const LayerPattern *windows; /* of attention; NULL: the model's */
} TrainingPhase;

enum { TRAINING_MAX_PHASES = 16 };

typedef struct TrainingOptions {
    int64_t B, T, ranks;         /* shape of one micro-batch on one rank; B times accumulation times
                                    ranks is the global batch */
    const TrainingPhase *phases; /* (n_phases), borrowed for the recording; 0: only evaluation is
                                    recorded */
    int n_phases;
    const KernelChoice *attention;
    bool document_mask;  /* attention stays inside documents; */
    int32_t end_of_text; /* this token ends each of them */
    Recompute recompute;
    size_t logits_bytes;
    double clip;                    /* limit of the gradient's norm; 0: none */
    const Collectives *collectives; /* must outlive the programs; NULL: one rank */
    const Float8 *f8;               /* NULL: no products in eight bits */
    bool embedding_rows;            /* embedding gradients may travel between ranks as rows:
                                       nn/optim/embedding_gradients.h */
    bool measures_noise;            /* with the programs for it */
} TrainingOptions;

/* The programs of a step: one per position of a micro-batch, and others. */
typedef enum TrainingProgram {
    MICRO_ONLY,
    MICRO_FIRST,
    MICRO_MIDDLE,
    MICRO_LAST,
    EVALUATION,       /* from tokens and targets to losses; no collectives */
    WEIGHT_GATHERING, /* gathers the sharded weights between steps */
    MICRO_MEASURED,   /* MICRO_ONLY that also measures the gradients of sequences or ranks */
    NOISE_UNIT,       /* measures the gradients of the first of several micro-batches */
    NOISE_WHOLE,      /* measures the gradient of the step */
    TRAINING_PROGRAMS
} TrainingProgram;

typedef struct Training {
    BoundProgram programs[TRAINING_MAX_PHASES * TRAINING_PROGRAMS]; /* by phase; empty if a step
                                                                       does not need one */
    int n_programs;
    /* The units of a measured step by phase; units 0: its noise scale cannot be measured. */
    NoiseSample noise[TRAINING_MAX_PHASES];
} Training;

/* Declares the step's tensors in the store. */
NODISCARD Status step_tensors_create(Store *store, int64_t B, int64_t T, DType dtype,
                                     StepTensors *out);

/* Declares the logits; evaluation then keeps them. */
NODISCARD Status step_logits_create(Store *store, int64_t Vp, StepTensors *tensors);

/* Records and plans all programs for a target; uses no device. */
NODISCARD Status training_create(const Model *model, const Parameters *parameters,
                                 const StepTensors *tensors, Target target,
                                 const TrainingOptions *options, Training **out);
void training_destroy(Training **training);

/* Size of the arena that the programs share, in bytes. */
size_t training_arena_bytes(const Training *training);

/* Allocates the arena on the device and binds the programs to it. */
NODISCARD Status training_bind(Training *training, Device *device);

/* Gathers the weights that the last step left sharded. Call it before evaluation and before any
 * other read between steps. Collective. */
NODISCARD Status training_gather_weights(const Training *training);

/* The program that micro-batch `index` of `accumulation` replays. */
TrainingProgram training_micro_batch(int64_t index, int64_t accumulation);

/* This program of a phase; NULL if its steps do not need one. Evaluation, with the model's windows,
 * and the gathering of weights belong to phase 0. */
Program *training_program(const Training *training, int phase, TrainingProgram kind);

/* Replays micro-batch `index` of a step of this phase. `measures`: sets StepTensors.noise by the
 * end of the step; requires units to measure. The update and the loss are the same to the last bit.
 * Collective. */
NODISCARD Status training_replay(const Training *training, int phase, int64_t index,
                                 int64_t accumulation, bool measures);

/* The attention call of the first layer, as recorded in the step's first program; NULL if the model
 * has none. */
const AttentionCall *training_attention_call(const Training *training);

/* The plan with the greatest need of memory. */
const Plan *training_largest_plan(const Training *training);
