/* relu2: y = max(x, 0)^2, and relu2_backward: d *= 2 sqrt(y), in place.
 *
 * Backward needs y alone, so x need not stay in memory. Source: So et al., arXiv:2109.08668,
 * section 4.2. */
#pragma once

#include "core/program.h"

/* inputs x; outputs y. */
extern const Op relu2_op;

/* inputs y; outputs d (read and written). */
extern const Op relu2_backward_op;

/* Records y = max(x, 0)^2. */
Tensor *relu2_record(Program *p, Tensor *x);
