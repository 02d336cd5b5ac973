/* --profile: replays one step op by op and times each op of the list. */
#pragma once

#include "launch/run/experiment.h"

#include <stdio.h>

/* Runs the program of the last micro-batch again and prints a row per op: calls, milliseconds,
 * share, GFLOP/s, GB/s, and the share of the device ceiling that bounds it, products or memory
 * (core/perf/ceilings.h). Writes Chrome's trace format to `trace` unless that is NULL.
 * Collective; updates the weights. */
NODISCARD Status profile_step(Experiment *e, FILE *file, const char *trace);
