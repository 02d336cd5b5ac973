/* A study on this machine: its points one after the other, or several at a time. */
#pragma once

#include "launch/study/launcher.h"

/* Runs every point that is not done until none is left, or until a signal (launch/base/signals.h):
 * then the running ones save first. Interrupted points go on from their checkpoints, failed ones
 * are started again up to launch.retries times, those that do not fit are left. The study must be
 * claimed. Errors: STATUS_STOPPED after a signal; STATUS_FAILURE where the directory cannot be
 * written. What became of the points is in the study. */
NODISCARD Status local_run(Study *study, Launcher *launcher);
