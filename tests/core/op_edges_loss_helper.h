/* Extreme values through the loss, on any device: see tests/core/op_edges_helper.h. */
#pragma once

#include "core/device.h"

/* Logits of any size, NaN among the logits and in the padding, ignored targets, and targets outside
 * the vocabulary. */
void edges_of_cross_entropy(Device *device, DType dtype);
