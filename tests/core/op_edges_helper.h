/* Values at the ends of what floats hold, through the ops of core/ops on any device: the result is
 * right or NaN, never silently something else. Each function checks by CUnit. */
#pragma once

#include "core/device.h"

/* Rows whose squares overflow, and rows that are not finite. */
void edges_of_layernorm(Device *device, DType dtype);

/* Arguments whose square and cube overflow. */
void edges_of_gelu(Device *device, DType dtype);

/* Tokens that are no row of the table. */
void edges_of_embedding(Device *device, DType dtype);

/* Betas next to 1, gradients whose square overflows, and what adamw_record refuses. Weights and
 * moments are f32 (f64 for f64). */
void edges_of_adamw(Device *device, DType dtype);
