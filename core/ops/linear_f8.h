/* linear_f8: a linear layer y = x w^T + bias whose products compute in eight bits, as its LinearF8
 * says. Shapes as in core/ops/linear.h; rows, K and N are multiples of QUANTIZE_UNIT. */
#pragma once

#include "core/ops/linear_f8_gradient.h"

/* Records y. The operands of backward that forward reads anyway are quantized here, in the layouts
 * of both, so x itself need not be kept.
 *   Errors: STATUS_CONFIG if shapes do not match or are no multiples of QUANTIZE_UNIT. */
Tensor *linear_f8_record(Program *p, Tensor *x, Tensor *w, Tensor *bias, const LinearF8 *layer);

/* Records y into a given tensor, without gradient: one chunk of the logits of the loss. */
void linear_f8_into(Program *p, Tensor *y, Tensor *x, Tensor *w, const LinearF8 *layer);
