/* The scaled-dot-product attention operator, as its kernels see it:
 *
 *     out = softmax(scale * q k^T + mask) v          over (B, NH, T, HS)
 *
 * One call is described by AttentionCall (known when the program is recorded) and runs on AttentionArgs (the pointers).
 * Heads are addressed by strides, so that the model's packed (B, T, 3C) projection is used in place and separate q, k,
 * v work the same. Backends are rows of the table in nn/attention/backend.h. Source: Vaswani et al. 2017, equation 1;
 * arXiv:2205.14135 and 2307.08691 for the tiled forms. */
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

/* Where head h of token t of row b starts: b * batch + t * token + h * head, in elements. HS is contiguous. */
typedef struct HeadLayout {
    int64_t batch, token, head;
} HeadLayout;

typedef struct AttentionCall {
    int64_t B, NH, NH_kv, Tq, Tk, HS; /* NH_kv divides NH: query head h reads key head h / (NH / NH_kv) */
    DType dtype;                      /* of q, k, v, out and their gradients; accumulation is f32 (f64 for f64) */
    float scale;                      /* usually 1 / sqrt(HS) */
    CausalMask causal;
    int64_t window;  /* 0: none; else query at diagonal position d sees keys d - window < j <= d (causal only) */
    double dropout;  /* probability with which a weight is dropped; the others are scaled by 1 / (1 - dropout) */
    uint32_t stream; /* which random op of the program this is: see core/rng.h */
    bool training;   /* backward follows: lse must be written */
    HeadLayout q, k, v, out; /* dq, dk, dv, dout are laid out as q, k, v, out */
} AttentionCall;

typedef struct AttentionArgs {
    const void *q, *k, *v;
    void *out;
    void *lse;        /* (B, NH, Tq), natural log of the sum of exponentials; f32 (f64 for f64) */
    const void *dout; /* backward only, as are dq, dk, dv */
    void *dq, *dk, *dv;
    void *workspace; /* as many bytes as the backend asked for in this direction */
    const StepState *step;
} AttentionArgs;
