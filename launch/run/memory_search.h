/* Memory search: what a run needs of its device against its capacity, and the largest batch that
 * fits. All of it comes from plans, before anything is allocated. Not collective. */
#pragma once

#include "launch/run/experiment.h"

/* What a run with this plan may take of its device: memory_budget, and at most what is free. On the
 * CPU the ranks of a host share its memory, and what checkpoints are saved from stays free. Errors:
 * STATUS_FAILURE where the device fails. */
NODISCARD Status memory_capacity(const Experiment *e, const PlanResult *plan, size_t *bytes);

/* The largest batch whose plan is within the capacity, with the backend that is picked from
 * `attention`. Errors: STATUS_NO_ROOM where one sequence does not fit, with its size. */
NODISCARD Status memory_search_batch(const Experiment *e, Probes *probes,
                                     const KernelChoice *attention, int64_t *out);

/* Whether the experiment, as recorded, is within the capacity. Errors: STATUS_NO_ROOM with what it
 * needs, the capacity, and the largest batch that fits. */
NODISCARD Status memory_check(const Experiment *e);
