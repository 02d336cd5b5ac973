/* add: y = a + b, of one shape. Backward records no arithmetic: a and b share the gradient. */
#pragma once

#include "core/program.h"

/* inputs a, b; outputs y. */
extern const Op add_op;

/* Records y = a + b. */
Tensor *add_record(Program *p, Tensor *a, Tensor *b);
