/* Memory search: compares the memory that a run needs with its capacity, and finds the largest
 * batch that fits. It uses plans only, before anything is allocated. Not collective. */
#pragma once

#include "launch/run/experiment.h"

/* The memory that a run with this plan may use of its device: memory_budget, limited by the free
 * memory. On the CPU the ranks of a host share its memory, and host memory for saving checkpoints
 * is reserved. Errors: STATUS_FAILURE if the device fails. */
NODISCARD Status memory_capacity(const Experiment *e, const PlanResult *plan, size_t *bytes);

/* The largest batch whose plan is within the capacity, with the backend selected from `attention`.
 * Errors: STATUS_OUT_OF_MEMORY with the size if one sequence does not fit. */
NODISCARD Status memory_search_batch(const Experiment *e, Probes *probes,
                                     const KernelChoice *attention, int64_t *out);

/* Checks that the recorded experiment is within the capacity. Errors: STATUS_OUT_OF_MEMORY with the
 * memory that it needs, the capacity, and the largest batch that fits. */
NODISCARD Status memory_check(const Experiment *e);
