/* The plain composition of a program in a 16-bit precision, run in f64 on the CPU: every node
 * computes in f64 from what its inputs hold, and what it leaves is then rounded to the dtype that
 * it would be stored in. Its error is the measure of what a device may make. */
#pragma once

#include "core/device.h"

/* x as `dtype` (a real one) holds it, rounded to nearest even. */
double rounded(double x, DType dtype);

/* Replays `p`, bound and of f64, on the CPU. `held` is the same program recorded in the precision,
 * which need not be bound: its nodes' outputs say what is rounded to what. STATUS_FAILURE where the
 * two differ in more than dtypes. */
NODISCARD Status composition_replay(Device *cpu, const Program *p, const Program *held);
