/* The scaled-dot-product attention operator, the interface of its kernels:
 *
 *     out = softmax(scale * q k^T + mask) v          over (B, NH, T, HS)
 *
 * One call is described by AttentionCall (known when the program is recorded) and runs on
 * AttentionArgs (the pointers). Heads are addressed by strides, so kernels read the model's packed
 * (B, T, 3C) projection in place, and separate q, k, v in the same way. Backends are rows of the
 * table in nn/attention/backend.h. Source: Vaswani et al. 2017, equation 1; arXiv:2205.14135 and
 * 2307.08691 for the tiled forms.
 *
 * Rules for every backend: Only the masks (causal, window, ranges, bias) determine which keys a
 * query sees. A query without visible keys gives zeros, lse -inf, and zero gradients. Hidden
 * elements contribute nothing, whatever their bits: a NaN in a key reaches no query that does not
 * see it, and a NaN in a query or its dout reaches no key that it does not see. A visible NaN
 * reaches out and the gradients, as does a softmax that does not exist: one score of +inf, or only
 * scores of -inf. Equal scores have equal weights in both directions, however large they are. */
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

/* A mask with a value per element; quadratic backends support it. */
typedef enum BiasKind {
    BIAS_NONE,
    BIAS_BOOLEAN,  /* u8: 0 hides a key */
    BIAS_ADDITIVE, /* f32 (f64 for f64): added to the scaled scores; has a gradient. -inf hides a
                      key */
} BiasKind;

/* The address of head h of token t of row b: b * batch + t * token + h * head, in elements. HS is
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
    int64_t window; /* 0: none; otherwise a query at diagonal position d sees keys d - window < j <=
                       d (causal only) */
    bool ranges; /* the args' ranges narrow the causal mask: documents, padding, packed sequences */
    BiasKind bias;
    double dropout;  /* probability of dropping a weight; kept weights are scaled by 1 / (1 -
                        dropout) */
    uint32_t stream; /* index of this random op in the program: see core/rng.h */
    bool training;   /* backward follows, so lse must be written */
    HeadLayout q, k, v, out; /* dq, dk, dv, dout are laid out as q, k, v, out */
    HeadLayout bias_layout;  /* of (B, NH, Tq, Tk): token is the query, Tk is contiguous; 0 where
                                broadcast */
    int64_t HS_v;            /* 0 or HS: other head sizes of v are refused */
    double softcap; /* of the scaled scores, before the bias: softcap tanh(score / softcap); 0:
                       none. Source: Gemma 2, arXiv:2408.00118, section 2 */
} AttentionCall;

typedef struct AttentionArgs {
    const void *q, *k, *v;
    void *out;
    /* (B, NH, Tq), natural log of the sum of exponentials; f32 on CUDA, f64 on the CPU. */
    void *lse;
    /* (2, B, NH, Tq), of lse's dtype: each row's maximum, then the log of the sum of exponentials
     * relative to it, in units of the backend: lse alone loses the sum if the maximum is large. A
     * backend may leave stats unwritten for rows whose lse is accurate enough. NULL if no backward
     * follows or the weights themselves are kept. */
    void *stats;
    const void *dout; /* backward only, as are dq, dk, dv */
    void *dq, *dk, *dv;
    /* If call->ranges: query i of row b sees those of keys [first, end) that the causal mask
     * leaves, with first = key_ranges[0][b][i] and end = key_ranges[1][b][i];
     * query_ranges[..][b][j] is the same mask by key. Neither bound falls from one query or key to
     * the next, so the rows of a tile see one interval of tiles. */
    const int32_t *key_ranges;   /* (2, B, Tq) */
    const int32_t *query_ranges; /* (2, B, Tk); backward only */
    const void *bias;            /* laid out by bias_layout */
    void *dbias; /* of an additive bias, if its gradient is needed: laid out as bias, summed over
                    broadcast dimensions */
    void *workspace; /* at least the bytes that the backend requested for this direction */
    const StepState *step;
} AttentionArgs;
