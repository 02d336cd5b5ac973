/* Extreme values through the ops on the heads of attention, on any device: see
 * tests/core/op_edges_helper.h. */
#pragma once

#include "core/device.h"

/* Heads of zeros, heads whose squares overflow, and non-finite heads, normalized and rotated. */
void edges_of_qk(Device *device, DType dtype);
