/* copy: out = x, or out += x with accumulate. On CUDA, out may have another dtype. i32 is copied
 * bit by bit and never accumulated.
 * Differentiation records it where sharing a gradient would be unsafe. */
#pragma once

#include "core/program.h"

void copy_record(Program *p, Tensor *out, Tensor *x, bool accumulate);
