/* The tanh GELU and its derivative for one element, in a form that vectorizes: see
 * core/ops/gelu.h. */
#pragma once

#include "core/cpu/real.h"

#define GELU_SCALE ((real)1.5957691216057308) /* 2 sqrt(2/pi) */
#define GELU_CUBIC ((real)0.044715)

static inline real gelu_value(real x) {
    real u = GELU_SCALE * (x + GELU_CUBIC * x * x * x);
    return x / (1 + real_exp(-u));
}

/* Beyond GELU_FAR the derivative is 0 or 1; without this bound, the square of a large x would make
 * it NaN. */
#define GELU_FAR ((real)1e6)

static inline real gelu_derivative(real x) {
    x = x > GELU_FAR ? GELU_FAR : x < -GELU_FAR ? -GELU_FAR : x;
    real u = GELU_SCALE * (x + GELU_CUBIC * x * x * x);
    real sigmoid = 1 / (1 + real_exp(-u));
    return sigmoid + x * sigmoid * (1 - sigmoid) * GELU_SCALE * (1 + 3 * GELU_CUBIC * x * x);
}
