/* Runs a study on this machine, one point at a time or several in parallel. */
#pragma once

#include "launch/study/launcher.h"

/* Runs every unfinished point until none is left, or until a signal (launch/base/signals.h), after
 * which the running points save first. Interrupted points resume from their checkpoints. Failed
 * points are restarted up to launch.retries times. Points that do not fit are not restarted. The
 * study must be claimed; it receives the states of the points. A sweep.json that cannot be written
 * is said once and written again at the next change. Errors: STATUS_STOPPED after a signal;
 * STATUS_FAILURE if a point cannot be started or created. */
NODISCARD Status local_run(Study *study, Launcher *launcher);
