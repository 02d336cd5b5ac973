/* Attention written out in one precision, as the article's appendix A does it twice. */
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
 * weights, out. Sums inside of a product and of softmax are f64, so that what is left is the
 * rounding of what is stored; CUDA's backends of the same names sum in f32. Source: the article,
 * appendix A. Errors: STATUS_FAILURE without memory. */
NODISCARD Status composition_forward(Composition composition, const NumericsShape *shape,
                                     DType dtype, const double *qkv, double *out);

/* The square root of sum (x - exact)^2 / sum exact^2: infinite or NaN where x is. */
double relative_error(const double *x, const double *exact, int64_t count);
