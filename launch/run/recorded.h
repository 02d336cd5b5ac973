/* Recorded: a model, its parameters and the programs of a step, recorded and planned from a
 * PlanInput. No device is touched. Not collective. */
#pragma once

#include "core/perf/ceilings.h"
#include "launch/config/config.h"
#include "nn/training.h"

/* All that a plan depends on. */
typedef struct PlanInput {
    const Config *config; /* optimizer, dtype, recomputation, accumulation */
    ModelConfig model;
    Target target;
    Sharding sharding;              /* whose plan it is, of how many ranks */
    const Collectives *collectives; /* outlives what is recorded */
    bool evaluates;                 /* no gradients, no optimizer */
    int64_t end_of_text;            /* read with attention.document_mask alone */
    int64_t B;                      /* sequences of a micro-batch */
    KernelChoice attention;
    size_t overhead_bytes; /* of the device beside tensors */
    Ceilings ceilings;     /* for the predicted time */
} PlanInput;

typedef struct Recorded {
    Store *store;
    Parameters *parameters;
    Model *model;
    StepTensors step;
    Training *training;
} Recorded;

/* Destroy `out` after a failure, too. Errors: STATUS_CONFIG with each backend's reason where no
 * attention backend takes the call. */
NODISCARD Status recorded_create(const PlanInput *input, Recorded *out);
void recorded_destroy(Recorded *recorded);

/* The dtype of a config's training.dtype. */
DType config_dtype(const Config *config);
