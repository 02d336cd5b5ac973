/* The plain composition of a program in a 16-bit precision, run in f64 on the CPU: every node
 * computes in f64 from its inputs, and its outputs are then rounded to their stored dtype. Its
 * error is the measure for the error of a device. */
#pragma once

#include "core/device.h"

/* x rounded to `dtype` (a real one), to nearest even. */
double rounded(double x, DType dtype);

/* Replays `p`, a bound f64 program, on the CPU. `held` is the same program recorded in the 16-bit
 * precision, and need not be bound: the dtypes of its nodes' outputs determine the rounding.
 * STATUS_FAILURE if the two differ in more than dtypes. */
NODISCARD Status composition_replay(Device *cpu, const Program *p, const Program *held);
