/* Attention with extreme numbers, on any device: scores up to 1e30, NaN and infinity in visible and
 * in hidden elements. Every backend of the device that accepts a case runs it in poisoned memory
 * and is compared with the reference in f64: it must have NaNs exactly where the reference has
 * them. */
#pragma once

#include "core/device.h"
#include "core/dtype.h"

/* Equal scores of every size and sign have equal weights in both directions; `kinds` head sizes, up
 * to 6. */
void edges_equal_scores(Device *device, DType dtype, size_t kinds);

/* Two keys with equal scores: dv is half of dout within 1e-3. */
void edges_two_keys(Device *device, DType dtype);

/* Equal scores over `Tk` keys, many tiles with the same maximum: every key has the same weight. */
void edges_long_rows(Device *device, DType dtype, int64_t Tk);

/* NaN and infinity, visible and hidden, under every mask that the backends support; additive biases
 * of -1e30, of the lowest finite number and of -inf; negative scales. */
void edges_cases(Device *device, DType dtype);
