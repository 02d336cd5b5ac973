/* The scaled-dot-product attention operator, as its kernels see it:
 *
 *     out = softmax(scale * q k^T + mask) v          over (B, NH, T, HS)
 *
 * One call is described by AttentionCall (known when the program is recorded) and runs on
 * AttentionArgs (the pointers). Heads are addressed by strides, so that the model's packed (B, T,
 * 3C) projection is used in place and separate q, k, v work the same. Backends are rows of the
 * table in nn/attention/backend.h. Source: Vaswani et al. 2017, equation 1; arXiv:2205.14135 and
 * 2307.08691 for the tiled forms.
 *
 * Every backend keeps to this. The masks alone (causal, window, ranges, bias) say which keys a
 * query sees. A query that sees none gives zeros, lse -inf, and zero gradients. What is hidden
 * contributes nothing, whatever bits lie there: a key's NaN reaches no query that does not see it,
 * and the NaN of a query or of its dout no key that it does not see. A NaN in what is visible
 * reaches out and the gradients; so does a softmax that does not exist: one score of +inf, or
 * nothing but scores of -inf. Equal scores weigh the same in both directions, however large they
 * are. */
#pragma once

#include "core/dtype.h"
#include "core/step.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum CausalMask {
    CAUSAL_NONE,
    CAUSAL_UPPER_LEFT,  /* query i sees keys j <= i */
    CAUSAL_LOWER_RIGHT, /* query i sees keys j <= i + Tk - Tq */
} CausalMask;

/* A mask given element by element, which quadratic backends take. */
typedef enum BiasKind {
    BIAS_NONE,
    BIAS_BOOLEAN,  /* u8: a key may be seen where it is not 0 */
    BIAS_ADDITIVE, /* f32 (f64 for f64): added to the scaled scores; it has a gradient. -inf hides a
                      key */
} BiasKind;

/* Where head h of token t of row b starts: b * batch + t * token + h * head, in elements. HS is
 * contiguous. */
typedef struct HeadLayout {
    int64_t batch, token, head;
} HeadLayout;

typedef struct AttentionCall {
    int64_t B, NH, NH_kv, Tq, Tk,
        HS;      /* NH_kv divides NH: query head h reads key head h / (NH / NH_kv) */
    DType dtype; /* of q, k, v, out and their gradients; accumulation is f32 (f64 for f64) */
    float scale; /* usually 1 / sqrt(HS) */
    CausalMask causal;
    int64_t window; /* 0: none; else query at diagonal position d sees keys d - window < j <= d
                       (causal only) */
    bool ranges; /* the args' ranges narrow what the causal mask leaves: documents, padding, packed
                    sequences */
    BiasKind bias;
    double dropout; /* probability with which a weight is dropped; the others are scaled by 1 / (1 -
                       dropout) */
    uint32_t stream;         /* which random op of the program this is: see core/rng.h */
    bool training;           /* backward follows: lse must be written */
    HeadLayout q, k, v, out; /* dq, dk, dv, dout are laid out as q, k, v, out */
    HeadLayout bias_layout;  /* of (B, NH, Tq, Tk), token being the query and Tk contiguous; 0 where
                                it is broadcast */
    int64_t HS_v;            /* 0 or HS: a head size of v's own is refused */
} AttentionCall;

typedef struct AttentionArgs {
    const void *q, *k, *v;
    void *out;
    /* (B, NH, Tq), natural log of the sum of exponentials; f32 on CUDA, f64 on the CPU. */
    void *lse;
    /* (2, B, NH, Tq), of lse's dtype: each row's maximum, then the log of the sum of exponentials
     * against it, in the backend's own units: lse by itself loses the sum where the maximum is
     * large. A backend may leave those of rows unwritten whose lse is good enough. NULL where no
     * backward follows, or where the weights themselves are kept. */
    void *stats;
    const void *dout; /* backward only, as are dq, dk, dv */
    void *dq, *dk, *dv;
    /* Where call->ranges: query i of row b sees keys [first, end) of what the causal mask leaves,
     * first being key_ranges[0][b][i] and end key_ranges[1][b][i]; the same mask from the keys'
     * side is query_ranges[..][b][j]. Neither bound ever falls from a row to the next, so that a
     * tile's rows see one interval of tiles. */
    const int32_t *key_ranges;   /* (2, B, Tq) */
    const int32_t *query_ranges; /* (2, B, Tk) */
    const void *bias;            /* by bias_layout */
    void *dbias; /* additive, where its gradient is wanted: laid out as bias, summed over what is
                  * broadcast */
    void *workspace; /* as many bytes as the backend asked for in this direction */
    const StepState *step;
} AttentionArgs;
