/* gelu: y = gelu(x), and gelu_backward: d *= gelu'(pre), in place, for the tanh form of GELU,
 *
 *     gelu(x) = x / 2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
 *             = x sigmoid(2 sqrt(2/pi) (x + 0.044715 x^3)).
 *
 * A linear layer fuses it into the product; the separate op can be recomputed. Source: Hendrycks
 * and Gimpel, arXiv:1606.08415, section 2. */
#pragma once

#include "core/program.h"

/* inputs x; outputs y. */
extern const Op gelu_op;

/* inputs pre; outputs d (read and written). */
extern const Op gelu_backward_op;

/* Records y = gelu(x). */
Tensor *gelu_record(Program *p, Tensor *x);

/* Records d *= gelu'(pre). If the last recorded node is the product that wrote `d`, fuses with it
 * and records no op. */
void gelu_backward_record(Program *p, Tensor *d, Tensor *pre);
