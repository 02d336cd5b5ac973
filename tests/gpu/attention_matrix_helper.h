/* The attention backends of a GPU against the reference in f64 from tests/nn/attention_helper.h.
 *
 * The bar is `math` in the same precision: a backend's error may be at most twice its error, for
 * out, dq, dk, dv and dbias. Outputs and scratch memory are poisoned; rows without keys must be
 * zeros; a second run must repeat every bit. */
#pragma once

#include "core/device.h"
#include "tests/nn/attention_helper.h"

/* The compute precision of a GPU: a dtype, or f32 with products in tf32. */
typedef enum Arithmetic { IN_F32, IN_TF32, IN_F16, IN_BF16, ARITHMETICS } Arithmetic;

/* Checks every shape in every precision with every CUDA backend that accepts it. */
void matrix_check(Device *gpu, const AttentionShape *shapes, int count);
