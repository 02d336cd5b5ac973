/* Attention at the edges of the numbers, on any device: scores up to 1e30, NaN and infinity in what
 * is visible and in what a mask hides. Every backend of the device that takes a case runs it in
 * poisoned memory, and is compared with the reference in f64: a NaN has to be where the reference
 * has one, and nowhere else. */
#pragma once

#include "core/device.h"
#include "core/dtype.h"

/* Equal scores of every size and sign weigh the same, in both directions; `kinds` head sizes, up to
 * 6. */
void edges_equal_scores(Device *device, DType dtype, size_t kinds);

/* Two keys of equal scores: dv is half of dout to 1e-3. */
void edges_two_keys(Device *device, DType dtype);

/* Equal scores over `Tk` keys, many tiles whose maximum stays: every key weighs the same. */
void edges_long_rows(Device *device, DType dtype, int64_t Tk);

/* NaN and infinity, visible and hidden, under every mask that the backends take; additive biases of
 * -1e30, of the least finite number and of -inf; negative scales. */
void edges_cases(Device *device, DType dtype);
