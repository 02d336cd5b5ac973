/* How long a program takes on its device. */
#pragma once

#include "core/device.h"

/* *seconds = the median over `repeats` of one replay's time, after one that warms up. A program
 * that takes less than 2 ms is replayed several times between two readings of the clock, so that
 * waiting for the device does not count. Stops early, with at least one reading, once `limit_s`
 * seconds have gone by. Not collective. */
NODISCARD Status program_time(Device *device, const Program *p, int64_t repeats, double limit_s,
                              double *seconds);

/* The same for a program that ranks run together: how often it is replayed depends on `repeats`
 * alone, so that none waits for a replay that another does not begin. Collective where the program
 * is. */
NODISCARD Status program_time_together(Device *device, const Program *p, int64_t repeats,
                                       double *seconds);
