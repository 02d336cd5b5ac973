/* One optimizer step, and its results on the host. */
#pragma once

#include "launch/run/run.h"

/* Replays the micro-batches and the update. On a GPU it starts to read the loss and the norm, and
 * returns before they are known. Collective. Errors: STATUS_STOPPED if a signal interrupts the step
 * of the only rank; STATUS_DATA naming the step. */
NODISCARD Status run_step(Run *run);

/* Waits for the loss and the norm of the last step: run->loss, run->norm, run->has_failed. Not
 * collective. */
NODISCARD Status run_results_finish(Run *run);

/* Errors: STATUS_FAILURE if a step was not finite, naming the first parameter with a non-finite
 * gradient. The update was skipped (core/ops/adamw.h). Collective if it fails. */
NODISCARD Status run_finite_check(Run *run);
