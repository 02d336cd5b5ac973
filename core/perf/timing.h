/* Measures the time of a program on its device. */
#pragma once

#include "core/device.h"
#include "core/perf/median.h"

/* *seconds = the spread over `repeats` of the time of one replay, after a warm-up. A program
 * shorter than 2 ms is replayed several times between two readings of the clock, to hide the
 * latency of synchronization. Stops after `limit_s` seconds, with at least one reading. Not
 * collective. */
NODISCARD Status program_time(Device *device, const Program *p, int64_t repeats, double limit_s,
                              Spread *seconds);

/* The same for a program that several ranks run together. The number of replays depends on
 * `repeats` only, so no rank waits for a replay that another does not start. Collective if the
 * program is. */
NODISCARD Status program_time_together(Device *device, const Program *p, int64_t repeats,
                                       Spread *seconds);
