/* Attention composed from ops in one precision, in the two ways of the article's appendix A. */
#pragma once

#include "core/dtype.h"
#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct NumericsShape {
    int64_t B, NH, T, HS;
    bool causal;
} NumericsShape;

typedef enum Composition {
    COMPOSITION_UNSCALED, /* nanoGPT's: softmax((q k^T) / sqrt(HS)) v, the product rounded before it
                             is scaled */
    COMPOSITION_PRESCALED /* PyTorch's: softmax((q / HS^(1/4)) (k / HS^(1/4))^T) v, the factors
                             rounded */
} Composition;

/* out (B, T, C) from a packed qkv (B, T, 3C), both f64, C = NH * HS. Every tensor that the
 * composition would write is rounded to `dtype`: the scaled q and k, the product, the scores, the
 * weights, out. Sums inside a product or a softmax are f64, so the only error is the rounding of
 * stored values; CUDA's backends of the same names sum in f32. Source: the article, appendix A.
 * Errors: STATUS_FAILURE without memory. */
NODISCARD Status composition_forward(Composition composition, const NumericsShape *shape,
                                     DType dtype, const double *qkv, double *out);

/* The square root of sum (x - exact)^2 / sum exact^2; infinite or NaN if x is. */
double relative_error(const double *x, const double *exact, int64_t count);
