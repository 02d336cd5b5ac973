/* Probe: the memory and the time of a hypothetical run, from a separate plan. Not collective. */
#pragma once

#include "core/perf/timeline.h"
#include "launch/run/recorded.h"

typedef struct PlanResult {
    size_t bytes;                 /* of the device: tensors and the input's overhead */
    size_t by_kind[BUFFER_KINDS]; /* kept for the whole run, and alive at the arena's peak */
    size_t packing_bytes;         /* of the arena beyond the live tensors at its peak */
    size_t checkpoint_bytes;      /* host memory for saving, of rank 0; 0: evaluation only */
    size_t shard_bytes;           /* the same of a rank that saves shards and nothing else */
    int64_t parameters;
    /* Predicted for one step of each phase, without communication; 0: unknown. */
    double seconds[TRAINING_MAX_PHASES];
    Timeline step;         /* of the first phase, with communication; 0 seconds: unknown */
    const char *attention; /* the backend that the program calls */
    AttentionCall call;    /* of each layer's attention, as the program recorded it */
} PlanResult;

/* Records and plans for the input, and frees what it recorded. A pure function of its input.
 * Errors: as recorded_create. */
NODISCARD Status plan_probe(const PlanInput *input, PlanResult *out);

/* The numbers of a recorded plan of this input. */
PlanResult plan_result(const PlanInput *input, const Recorded *recorded);

/* Probes of one input for several batches and backends; each is recorded once. */
typedef struct Probe {
    int64_t B;
    KernelChoice attention;
    PlanResult result;
} Probe;

typedef struct Probes {
    PlanInput input; /* except B and attention */
    Probe *list;
    int count, capacity;
    int recordings; /* results so far, including failures */
} Probes;

NODISCARD Status probes_find(Probes *probes, int64_t B, const KernelChoice *attention,
                             PlanResult *out);

/* Adds a result that was obtained elsewhere. Errors: STATUS_OUT_OF_MEMORY. */
NODISCARD Status probes_add(Probes *probes, int64_t B, const KernelChoice *attention,
                            const PlanResult *result);
void probes_free(Probes *probes);
