/* Cases of attention with extreme numbers: see tests/nn/attention_edges_helper.h. */
#pragma once

#include "core/device.h"
#include "core/dtype.h"

/* NaN and infinity, visible and hidden, under every mask that the backends support; additive biases
 * of -1e30, of the lowest finite number and of -inf; negative scales. */
void edges_cases(Device *device, DType dtype);

/* NaN, infinity and great scores in sequences that are long enough for the fused backward pass of
 * flash on Hopper. The reference takes some seconds. */
void edges_long_cases(Device *device, DType dtype);
