/* Attention in a program: records the scaled-dot-product operator with the backend that the picker chose.
 *
 * What the backend keeps for backward and its scratch are tensors of the program, so the plan knows its true cost. */
#pragma once

#include "nn/attention/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A packed projection (B, T, 3C) holds q, k and v side by side, C = NH * HS each. */
typedef struct AttentionAttrs {
    AttentionCall call;
    int64_t k_offset, v_offset; /* elements from the start of the tensor that holds it: 0 where separate */
} AttentionAttrs;

/* Nodes. Forward: inputs q, k, v, step, key_ranges|NULL, query_ranges|NULL, bias|NULL; outputs out, lse, weights|NULL.
 * Backward: the same inputs, then out, lse, weights|NULL, dout; outputs dq, dk, dv, dbias|NULL. Packed q, k, v are one
 * tensor thrice. */
AttentionArgs attention_forward_args(const Node *node);
AttentionArgs attention_backward_args(const Node *node);

/* The saved weights (B, NH, Tq, Tk) of a node of either direction; NULL where the backend saves none. */
void *attention_weights(const Node *node);

/* FLOPs of both products (forward) or all five (backward), counting only the keys that a query sees. */
Cost attention_forward_cost(const Node *node);
Cost attention_backward_cost(const Node *node);

/* The gradient rule of every forward op of a backend. */
void attention_gradient(Program *p, const Node *node);

typedef struct AttentionOptions {
    const AttentionChoice *choice;
    double dropout;
    Tensor *step; /* the u8 tensor of the StepState */
} AttentionOptions;

/* out (B, T, C) = causal self-attention over a packed qkv (B, T, 3C) with NH heads, scale 1 / sqrt(C / NH). */
Tensor *attention_record(Program *p, Tensor *qkv, int64_t NH, const AttentionOptions *options);

/* The call that attention_record makes, for planning and messages. */
AttentionCall attention_call_packed(DType dtype, int64_t B, int64_t T, int64_t NH, int64_t HS, double dropout,
                                    bool training);

#ifdef __cplusplus
}
#endif
