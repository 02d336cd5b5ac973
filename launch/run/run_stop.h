/* Decides when a run stops: by its stop rule, or by signals to its ranks. */
#pragma once

#include "launch/base/signals.h"
#include "launch/run/run.h"

/* The request that all ranks follow: the greatest of their requests. Rank 0's clock decides, so
 * that all ranks stop and save at the same step (for run->save_is_late one step later). STOP_NOW
 * becomes STOP_SAVE if a checkpoint can still be written before the launcher kills the processes.
 * Also sets run->agreed_s for the schedule of the next step. Collective. */
NODISCARD Status run_agree_request(Run *run, StopRequest *out);
