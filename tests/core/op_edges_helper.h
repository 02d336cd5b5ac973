/* Extreme floating-point values through the ops of core/ops on any device: the result is right or
 * NaN, never silently wrong. Each function checks by CUnit. */
#pragma once

#include "core/device.h"

/* Rows whose squares overflow, and non-finite rows. */
void edges_of_norm(Device *device, DType dtype);

/* Arguments whose square and cube overflow. */
void edges_of_gelu(Device *device, DType dtype);

/* Gates whose square and cube overflow, with large values beside them, and squares that overflow.
 */
void edges_of_gated(Device *device, DType dtype);
void edges_of_relu2(Device *device, DType dtype);

/* Tokens outside the table. */
void edges_of_embedding(Device *device, DType dtype);

/* Betas close to 1, gradients whose square overflows, and the errors of adamw_record. Weights and
 * moments are f32 (f64 for f64). */
void edges_of_adamw(Device *device, DType dtype);
