/* Output of a running run: its start, log steps, evaluations. */
#pragma once

#include "launch/run/run.h"

/* The lines before the first step: ranks and devices, memory, batch, attention backends, remarks.
 * Collective. */
NODISCARD Status run_introduce(Run *run);

/* A line and a record after each logging.interval, otherwise the progress bar. Not collective. */
NODISCARD Status run_log_step(Run *run);

/* Evaluates and records the result, and a sample of text if the config asks for it; nothing without
 * data.val. Its time counts as training seconds, except for the evaluation that closes a run, whose
 * budget is spent. Collective. Errors: STATUS_DATA naming the step; STATUS_STOPPED if a signal
 * interrupts it. */
NODISCARD Status run_evaluate(Run *run, bool is_closing);
