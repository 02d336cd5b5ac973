/* The training loop. */
#pragma once

#include "launch/run/run.h"

/* Trains until the stop rule or a signal. Collective. Errors: STATUS_STOPPED after SIGUSR1, once
 * the checkpoint is safe; STATUS_FAILURE for a loss that is not finite, and if a signal stops the
 * run without a new checkpoint. */
NODISCARD Status run_train(Run *run);
