/* The loss at the ends of what floats hold, on any device: see tests/core/op_edges_helper.h. */
#pragma once

#include "core/device.h"

/* Logits of any size, NaN in them and in the padding, targets that are ignored and targets that are
 * no column. */
void edges_of_cross_entropy(Device *device, DType dtype);
