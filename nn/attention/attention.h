/* Attention in a program: records the scaled-dot-product operator with the backend that the picker
 * chose.
 *
 * What the backend keeps for backward and its scratch are tensors of the program, so the plan knows
 * its true cost. */
#pragma once

#include "nn/attention/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The inputs of a node, in both directions; backward has those from OUT on besides. Masks that the
 * call has not, and weights that the backend does not save, are NULL. Packed q, k, v are one tensor
 * thrice.
 * Outputs. Forward: out, lse, stats|NULL, weights|NULL. Backward: dq, dk, dv, dbias|NULL. */
enum {
    IN_Q,
    IN_K,
    IN_V,
    IN_STEP,
    IN_KEY_RANGES,
    IN_QUERY_RANGES,
    IN_BIAS,
    IN_OUT,
    IN_LSE,
    IN_STATS,
    IN_WEIGHTS,
    IN_DOUT
};

AttentionArgs attention_forward_args(const Node *node);
AttentionArgs attention_backward_args(const Node *node);

/* The saved weights (B, NH, Tq, Tk) of a node of either direction; NULL where the backend saves
 * none. */
void *attention_weights(const Node *node);

/* The pairs of query and key that the masks leave, over all rows and heads: by the causal mask, the
 * window and what of key_ranges and a boolean bias `masks` holds, on the host. */
double attention_pairs(const AttentionCall *call, const AttentionArgs *masks);

/* FLOPs of both products (forward) or all five (backward), counting only the keys that a query sees
 * by the causal mask and the window; what ranges and a bias hide, only the run knows. */
Cost attention_forward_cost(const Node *node);
Cost attention_backward_cost(const Node *node);

/* The gradient rule of `attention`: the backward kernel of the same backend. */
void attention_gradient(Program *p, const Node *node);

/* What a call reads. q, k and v may lie in one tensor, each from its offset on (in elements). */
typedef struct AttentionTensors {
    Tensor *q, *k, *v;
    int64_t q_offset, k_offset, v_offset;
    Tensor *step;                      /* u8, the StepState; NULL without dropout */
    Tensor *key_ranges, *query_ranges; /* i32 (2, B, Tq) and (2, B, Tk); where call->ranges */
    Tensor *bias;                      /* by call->bias_layout; where call->bias */
} AttentionTensors;

/* out = softmax(scale q k^T + mask) v, with the first backend of the choice that takes the call;
 * the gradients of q, k, v and an additive bias flow through it. call->training and stream are
 * filled in; dropout is off where the program does not train. out is dense, by call->out: (B, Tq,
 * NH * HS) by attention_tokens(), or (B, NH, Tq, HS) by attention_heads().
 *   Errors: STATUS_CONFIG, saying why: a call that attention_check refuses; a tensor that is
 *   missing, too much, too small or of another dtype; one with a gradient that q, k and v do not
 *   fill, or fill twice in part; and where every backend refuses. */
Tensor *attention_record_call(Program *p, const AttentionTensors *tensors,
                              const AttentionCall *call, const KernelChoice *choice);

typedef struct AttentionOptions {
    const KernelChoice *choice;
    double dropout;
    Tensor *step;      /* the u8 tensor of the StepState */
    Tensor *documents; /* i32 (2, B, T) of nn/attention/documents.h: attention stays inside them;
                          NULL: one document */
} AttentionOptions;

/* out (B, T, C) = causal self-attention over a packed qkv (B, T, 3C) with NH heads, scale 1 /
 * sqrt(C / NH): q, k and v lie side by side, C = NH * HS each. */
Tensor *attention_record(Program *p, Tensor *qkv, int64_t NH, const AttentionOptions *options);

/* The call that attention_record makes, for planning and messages. */
AttentionCall attention_call_packed(DType dtype, int64_t B, int64_t T, int64_t NH, int64_t HS,
                                    double dropout, bool training);

/* The dense layouts (B, T, NH, HS) and (B, NH, T, HS), and that of q, k and v side by side in a
 * token's row of (NH + 2 NH_kv) HS: k begins NH HS behind q, v NH_kv HS behind k. */
HeadLayout attention_tokens(int64_t T, int64_t NH, int64_t HS);
HeadLayout attention_heads(int64_t T, int64_t NH, int64_t HS);
HeadLayout attention_packed(int64_t T, int64_t NH, int64_t NH_kv, int64_t HS);
bool attention_same_layout(HeadLayout a, HeadLayout b);

/* What a call reads and writes by a layout. */
typedef enum AttentionOperand {
    ATTENTION_Q,
    ATTENTION_K,
    ATTENTION_V,
    ATTENTION_OUT,
    ATTENTION_BIAS
} AttentionOperand;

/* The elements from an operand's first to its last one. The call passes attention_check, as in what
 * follows. */
int64_t attention_extent(const AttentionCall *call, AttentionOperand which);

/* Whether no two elements of an operand share a place, other than a bias by a stride of 0: what is
 * written, such as a gradient, must lie so. Each stride steps over all that the smaller ones reach,
 * which every order of dimensions does. */
bool attention_is_apart(const AttentionCall *call, AttentionOperand which);

/* u8 for a boolean bias, otherwise f32 (f64 for f64). */
DType attention_bias_dtype(const AttentionCall *call);

/* Whether a call makes sense at all, for any backend. Errors: STATUS_CONFIG, saying what is
 * wrong. */
NODISCARD Status attention_check(const AttentionCall *call);

#ifdef __cplusplus
}
#endif
