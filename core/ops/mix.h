/* mix: y = s[0] x + s[1] x0, the residual stream and the embedding, with learned scalars.
 *
 *   x, x0, y (...)   s (2), in the dtype of x; its gradient is f32 (f64 for f64)
 *   backward:  dx = s[0] dy,   dx0 = s[1] dy,   ds = (sum(dy x), sum(dy x0)), in a fixed order
 *
 * x0 may be x. Source: Jordan et al., github.com/KellerJordan/modded-nanogpt, the x0 lambdas. */
#pragma once

#include "core/program.h"

enum {
    MIX_PARTS = 32,   /* parts of the gradient of s on the CPU */
    MIX_BLOCKS = 1056 /* the same on CUDA, one block each: eight per multiprocessor of 132 */
};

typedef struct MixAttrs {
    bool accumulate, accumulate_x0, accumulate_s; /* backward: add to dx, dx0, ds */
} MixAttrs;

/* inputs x, x0, s; outputs y. */
extern const Op mix_op;

/* inputs dy, x, x0, s; outputs dx|NULL, dx0|NULL, ds|NULL. If x0 is x, dx = (s[0] + s[1]) dy and
 * dx0 is NULL. */
extern const Op mix_backward_op;

/* Records y. */
Tensor *mix_record(Program *p, Tensor *x, Tensor *x0, Tensor *s);
