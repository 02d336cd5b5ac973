/* Attention in a program: records the scaled-dot-product operator with the backend that the picker chose.
 *
 * What the backend keeps for backward and its scratch are tensors of the program, so the plan knows its true cost. */
#pragma once

#include "nn/attention/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct AttentionAttrs {
    AttentionCall call;
    int64_t q_offset, k_offset, v_offset; /* elements from the start of the tensor that holds it: 0 where separate */
} AttentionAttrs;

/* Nodes. Forward: inputs q, k, v, step, key_ranges|NULL, query_ranges|NULL, bias|NULL; outputs out, lse, weights|NULL.
 * Backward: the same inputs, then out, lse, weights|NULL, dout; outputs dq, dk, dv, dbias|NULL. Packed q, k, v are one
 * tensor thrice. */
AttentionArgs attention_forward_args(const Node *node);
AttentionArgs attention_backward_args(const Node *node);

/* The saved weights (B, NH, Tq, Tk) of a node of either direction; NULL where the backend saves none. */
void *attention_weights(const Node *node);

/* FLOPs of both products (forward) or all five (backward), counting only the keys that a query sees by the causal mask
 * and the window; what ranges and a bias hide, only the run knows. */
Cost attention_forward_cost(const Node *node);
Cost attention_backward_cost(const Node *node);

/* The gradient rule of every forward op of a backend. */
void attention_gradient(Program *p, const Node *node);

/* What a call reads. q, k and v may lie in one tensor, each from its offset on (in elements). */
typedef struct AttentionTensors {
    Tensor *q, *k, *v;
    int64_t q_offset, k_offset, v_offset;
    Tensor *step;                      /* u8, the StepState; NULL without dropout */
    Tensor *key_ranges, *query_ranges; /* i32 (2, B, Tq) and (2, B, Tk); where call->ranges */
    Tensor *bias;                      /* by call->bias_layout; where call->bias */
} AttentionTensors;

/* out = softmax(scale q k^T + mask) v, with the first backend of the choice that takes the call; the gradients of q, k,
 * v and an additive bias flow through it. call->training and stream are filled in; dropout is off where the program
 * does not train. out is dense, by call->out: (B, Tq, NH * HS) by attention_tokens(), or (B, NH, Tq, HS) by
 * attention_heads().
 *   Errors: STATUS_CONFIG, saying why: a call that attention_check refuses; a tensor that is missing, too much, too
 *   small or of another dtype; one with a gradient that q, k and v do not fill, or fill twice in part; and where every
 *   backend refuses. */
Tensor *attention_record_call(Program *p, const AttentionTensors *tensors, const AttentionCall *call,
                              const AttentionChoice *choice);

typedef struct AttentionOptions {
    const AttentionChoice *choice;
    double dropout;
    Tensor *step;      /* the u8 tensor of the StepState */
    Tensor *documents; /* i32 (2, B, T) of nn/attention/documents.h: attention stays inside them; NULL: one document */
} AttentionOptions;

/* out (B, T, C) = causal self-attention over a packed qkv (B, T, 3C) with NH heads, scale 1 / sqrt(C / NH): q, k and v
 * lie side by side, C = NH * HS each. */
Tensor *attention_record(Program *p, Tensor *qkv, int64_t NH, const AttentionOptions *options);

/* The call that attention_record makes, for planning and messages. */
AttentionCall attention_call_packed(DType dtype, int64_t B, int64_t T, int64_t NH, int64_t HS, double dropout,
                                    bool training);

/* The dense layouts (B, T, NH, HS) and (B, NH, T, HS). */
HeadLayout attention_tokens(int64_t T, int64_t NH, int64_t HS);
HeadLayout attention_heads(int64_t T, int64_t NH, int64_t HS);

/* The elements from the first of a tensor to its last one; B, NH and T may be 1 for what is broadcast. */
int64_t attention_extent(HeadLayout layout, int64_t B, int64_t NH, int64_t T, int64_t HS);

/* The same for the bias of a call, and its dtype: u8 for a boolean one, otherwise f32 (f64 for f64). */
int64_t attention_bias_extent(const AttentionCall *call);
DType attention_bias_dtype(const AttentionCall *call);

/* Whether a call makes sense at all, for any backend. Errors: STATUS_CONFIG, saying what is wrong. */
NODISCARD Status attention_check(const AttentionCall *call);

#ifdef __cplusplus
}
#endif
