/* When a run stops: by its stop rule, or by what signals ask of its ranks. */
#pragma once

#include "launch/base/signals.h"
#include "launch/run/run.h"

/* The request that all ranks follow: the greatest of theirs. Time is rank 0's, so that all stop and
 * save at one step (for run->save_is_late one step after its clock). STOP_NOW becomes STOP_SAVE
 * where a checkpoint can still be written before the launcher kills. Collective. */
NODISCARD Status run_agree_request(Run *run, StopRequest *out);
