/* The short convolution on any device against sums over its definition in f64: see
 * tests/core/op_edges_helper.h. */
#pragma once

#include "core/device.h"

/* Rows of any length, shorter than the taps too, with and without documents, and a NaN in h and in
 * dy: it reaches the rows of its own document that read it, and no other. */
void edges_of_short_conv(Device *device, DType dtype);
