/* --profile: one step replayed op by op and timed. The op list is the table; no instrumentation. */
#pragma once

#include "launch/run/experiment.h"

#include <stdio.h>

/* Runs the last micro-batch's program once more and prints a row an op: calls, milliseconds, share,
 * GFLOP/s, GB/s, and the share of the device's own ceiling (core/perf/ceilings.h) that this is, of
 * products or of memory, whichever is nearer. Where `trace` is not NULL it also writes Chrome's
 * trace format there. Collective; it updates the weights. */
NODISCARD Status profile_step(Experiment *e, FILE *file, const char *trace);
