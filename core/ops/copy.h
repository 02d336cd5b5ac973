/* copy: out = x, or out += x where it accumulates; out may be of another dtype on CUDA; i32 is
 * copied as it is, and never accumulated.
 * Differentiation records it where a gradient would otherwise be shared unsafely. */
#pragma once

#include "core/program.h"

void copy_record(Program *p, Tensor *out, Tensor *x, bool accumulate);
