/* Recorded: a model, its parameters and the programs of a step, recorded and planned from a
 * PlanInput. Uses no device. Not collective. */
#pragma once

#include "core/perf/ceilings.h"
#include "dist/network.h"
#include "launch/run/phases.h"
#include "nn/decoder.h"

/* All inputs of a plan. */
typedef struct PlanInput {
    const Config *config; /* optimizer, dtype, recomputation, accumulation */
    ModelConfig model;
    Target target;
    Sharding sharding;              /* the rank to plan for, of how many ranks */
    const Collectives *collectives; /* outlives the recording */
    bool evaluates;                 /* no gradients, no optimizer */
    bool keeps_logits;              /* of evaluation, as StepTensors.logits */
    int64_t end_of_text;            /* used with attention.document_mask only */
    int64_t B;                      /* sequences of a micro-batch */
    KernelChoice attention;
    size_t overhead_bytes; /* of the device in addition to tensors */
    Ceilings ceilings;     /* of the device's share of this rank, for the predicted time */
    Network network;       /* the same; 0 hosts: unknown */
} PlanInput;

typedef struct Recorded {
    Store *store;
    Parameters *parameters;
    Model *model;
    Float8 *f8; /* belongs to the parameters; NULL: no products in eight bits */
    StepTensors step;
    Decoder *decoder; /* for evaluation.sample; NULL: no samples */
    Training *training;
} Recorded;

/* Destroy `out` after a failure, too. Errors: STATUS_CONFIG with each backend's reason if no
 * attention backend accepts the call. */
NODISCARD Status recorded_create(const PlanInput *input, Recorded *out);
void recorded_destroy(Recorded *recorded);

/* The phases of the run; used without `evaluates`. */
Phases plan_phases(const PlanInput *input);

/* The dtype of a config's training.dtype. */
DType config_dtype(const Config *config);
