/* gelu: y = gelu(x), and gelu_backward: d *= gelu'(pre), in place, for the tanh form of GELU,
 *
 *     gelu(x) = x / 2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) = x sigmoid(2 sqrt(2/pi) (x +
 *     0.044715 x^3)).
 *
 * A linear layer computes it on its way; the op by itself can be recomputed. Source:
 * Hendrycks and Gimpel, arXiv:1606.08415, section 2. */
#pragma once

#include "core/program.h"

/* inputs x; outputs y. */
extern const Op gelu_op;

/* inputs pre; outputs d (read and written). */
extern const Op gelu_backward_op;

/* Records y = gelu(x). */
Tensor *gelu_record(Program *p, Tensor *x);

/* Records d *= gelu'(pre). Where the node recorded last is the product that has written `d`, it
 * does this on its way, and no op is recorded. */
void gelu_backward_record(Program *p, Tensor *d, Tensor *pre);
