/* When a run stops, and how: by its stop rule, or by what signals ask of its ranks. */
#pragma once

#include "launch/run/run.h"

/* Training seconds so far, those before a resume included. Not collective. */
double run_seconds(const Run *run);

/* The share of the run that is done, in [0, 1], by the stop rule that is nearest to its end. Not
 * collective. */
double run_share_done(const Run *run);

/* What all ranks do next: the greatest of their wishes. Time is rank 0's, so that all stop at one
 * step, and save at one (a step later than by its clock: run->save_is_late). Where a checkpoint can
 * still be written before the launcher kills, STOP_NOW is STOP_SAVE. Collective. */
NODISCARD Status run_agree_request(Run *run, StopRequest *out);
