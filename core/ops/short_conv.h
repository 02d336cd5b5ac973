/* short_conv: a causal depthwise convolution over a few tokens, added to its input:
 *
 *     y[t, c] = h[t, c] + sum over 0 <= j < taps of w[j, c] h[t - j, c]
 *
 *   h, y (B, T, C)   w (taps, C), 2 <= taps <= 4, in the dtype of h; its gradient is f32 (f64 for
 *   f64)   documents i32 (2, B, T): the first token of a token's document, and the position after
 *   its last one
 *
 * A term is left out, not multiplied by 0, if its token lies before the row, or before the document
 * if there are documents. With n the number of terms, whose dy[t + j] must lie in the document,
 * too:
 *
 *     dh[t, c] = (1 + w[0, c]) dy[t, c] + sum over 0 < j < n of w[j, c] dy[t + j, c]
 *     dw[j, c] = sum over b, t of dy[t + j, c] h[t, c], in a fixed order
 *
 * Sources: So et al., arXiv:2109.08668, section 4 (depthwise convolutions of Primer); Allen-Zhu,
 * "Physics of Language Models: Part 4.1" (Canon layers), 2025. */
#pragma once

#include "core/program.h"

enum {
    SHORT_CONV_MOST_TAPS = 4,
    SHORT_CONV_PARTS = 32,  /* row parts of the gradient of w on the CPU */
    SHORT_CONV_BLOCKS = 264 /* the most on CUDA, a block each: two per multiprocessor of 132 */
};

typedef struct ShortConvAttrs {
    bool accumulate, accumulate_w; /* backward: add to dh, dw */
} ShortConvAttrs;

/* inputs h, w, documents|NULL; outputs y. */
extern const Op short_conv_op;

/* inputs dy, h, w, documents|NULL; outputs dh|NULL, dw|NULL. */
extern const Op short_conv_backward_op;

/* inputs h, w, positions, count, past; outputs y, past. No gradient. */
extern const Op short_conv_cached_op;

/* Records y. Errors: STATUS_CONFIG if the shapes or dtypes do not fit. */
Tensor *short_conv_record(Program *p, Tensor *h, Tensor *w, Tensor *documents);

/* The same for T tokens that follow others, of which past (B, taps - 1, C) holds the last rows of
 * h, the newest first. positions (B, T) i32: the first of a row is that of its first token, and
 * rows before position 0 are left out. Sets `past` to the last rows once `count` (1) i32 of the T
 * tokens have been added, and leaves it if that is 0. */
Tensor *short_conv_cached_record(Program *p, Tensor *h, Tensor *w, Tensor *positions, Tensor *count,
                                 Tensor *past);
