/* gated: y = act(gate) up, the hidden layer of a gated MLP, with pair = [gate | up].
 *
 *     GATED_SILU   act(x) = x sigmoid(x)                        SwiGLU
 *     GATED_GELU   act(x) = the tanh GELU of core/ops/gelu.h    GEGLU
 *     backward:    dgate = dy up act'(gate),   dup = dy act(gate)
 *
 *   pair, dpair (..., 2F)   y, dy (..., F)
 *
 * Source: Shazeer, arXiv:2002.05202, equation 6, without biases. */
#pragma once

#include "core/program.h"

typedef enum GatedKind { GATED_SILU, GATED_GELU } GatedKind;

typedef struct GatedAttrs {
    GatedKind kind;
    bool accumulate; /* backward: add to dpair */
} GatedAttrs;

/* inputs pair; outputs y. */
extern const Op gated_op;

/* inputs dy, pair; outputs dpair. */
extern const Op gated_backward_op;

/* Records y; fails if the last dimension of `pair` is odd. */
Tensor *gated_record(Program *p, Tensor *pair, GatedKind kind);
