/* Attention in a program: records the scaled-dot-product operator with the backend that the picker
 * selects.
 *
 * The backend's scratch memory and the data that it keeps for backward are tensors of the program,
 * so the plan includes them. */
#pragma once

#include "nn/attention/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The inputs of a node. The inputs from OUT on exist in backward only. A mask that the call does
 * not use is NULL, as are weights that the backend does not save. Packed q, k, v are the same
 * tensor three times.
 * Outputs of forward: out, lse, stats|NULL, weights|NULL; of backward: dq, dk, dv, dbias|NULL. */
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

/* The saved weights (B, NH, Tq, Tk) of a node of either direction; NULL if the backend saves
 * none. */
void *attention_weights(const Node *node);

/* The number of visible pairs of query and key, over all rows and heads: under the causal mask, the
 * window, and the key_ranges and boolean bias of `masks`, in host memory. */
double attention_pairs(const AttentionCall *call, const AttentionArgs *masks);

/* FLOPs of both products (forward) or all five (backward), counting the keys that the causal mask
 * and the window leave. Ranges and a bias are known at run time only. */
Cost attention_forward_cost(const Node *node);
Cost attention_backward_cost(const Node *node);

/* The gradient rule of `attention`: the backward kernel of the same backend. */
void attention_gradient(Program *p, const Node *node);

/* The tensors that a call reads. q, k and v may be in one tensor, each at its offset (in
 * elements). */
typedef struct AttentionTensors {
    Tensor *q, *k, *v;
    int64_t q_offset, k_offset, v_offset;
    Tensor *step;                      /* u8, the StepState; NULL without dropout */
    Tensor *key_ranges, *query_ranges; /* i32 (2, B, Tq) and (2, B, Tk), if call->ranges; the
                                          latter may be NULL if no backward follows */
    Tensor *bias;                      /* laid out by call->bias_layout; if call->bias */
} AttentionTensors;

/* out = softmax(scale q k^T + mask) v, with the first backend of the choice that accepts the call.
 * Records the gradients of q, k, v and an additive bias. Sets call->training and stream; without
 * training dropout is off. out is dense, by call->out: (B, Tq, NH * HS) by attention_tokens(), or
 * (B, NH, Tq, HS) by attention_heads().
 *   Errors: STATUS_CONFIG with the reason: attention_check refuses the call; a tensor is missing,
 *   superfluous, too small or of another dtype; q, k and v do not cover a tensor that has a
 *   gradient, or partly overlap in it; every backend refuses. */
Tensor *attention_record_call(Program *p, const AttentionTensors *tensors,
                              const AttentionCall *call, const KernelChoice *choice);

typedef struct AttentionOptions {
    const KernelChoice *choice;
    int64_t NH, NH_kv; /* NH_kv divides NH; 0: NH */
    int64_t window;    /* a token sees itself and window - 1 earlier ones; 0: all earlier ones */
    double scale;      /* 0: 1 / sqrt(HS) */
    double softcap;    /* of the scaled scores; 0: none */
    double dropout;
    Tensor *step;      /* the u8 tensor of the StepState */
    Tensor *documents; /* i32 (2, B, T) of nn/attention/documents.h: attention stays inside
                          documents; NULL: one document */
} AttentionOptions;

/* out (B, T, NH HS) = causal self-attention over a packed qkv (B, T, (NH + 2 NH_kv) HS), laid out
 * by attention_packed. */
Tensor *attention_record(Program *p, Tensor *qkv, const AttentionOptions *options);

/* out (B, n, NH HS) = attention of the q of a packed qkv (B, n, (NH + 2 NH_kv) HS) over a cache (B,
 * capacity, 2 NH_kv HS) of keys, then values. key_ranges, i32 (2, B, n), is the only mask; the
 * options' window and documents are not used. For programs that do not train. */
Tensor *attention_record_cached(Program *p, Tensor *qkv, Tensor *cache, Tensor *key_ranges,
                                const AttentionOptions *options);

/* The call of attention_record with NH_kv = NH, no window and the default scale, for planning and
 * messages. */
AttentionCall attention_call_packed(DType dtype, int64_t B, int64_t T, int64_t NH, int64_t HS,
                                    double dropout, bool training);

/* The dense layouts (B, T, NH, HS) and (B, NH, T, HS), and that of adjacent q, k and v in a token's
 * row of (NH + 2 NH_kv) HS elements: k starts NH HS after q, v NH_kv HS after k. */
HeadLayout attention_tokens(int64_t T, int64_t NH, int64_t HS);
HeadLayout attention_heads(int64_t T, int64_t NH, int64_t HS);
HeadLayout attention_packed(int64_t T, int64_t NH, int64_t NH_kv, int64_t HS);
bool attention_same_layout(HeadLayout a, HeadLayout b);

/* The operands that a call reads and writes, in one layout. */
typedef enum AttentionOperand {
    ATTENTION_Q,
    ATTENTION_K,
    ATTENTION_V,
    ATTENTION_OUT,
    ATTENTION_BIAS
} AttentionOperand;

/* The number of elements from an operand's first to its last. Here and below the call must pass
 * attention_check. */
int64_t attention_extent(const AttentionCall *call, AttentionOperand which);

/* Whether no two elements of an operand share an address, except for a bias with a stride of 0.
 * Every output, such as a gradient, must satisfy this. The test is that each stride is larger than
 * the extent of all smaller ones, which holds for every order of dimensions. */
bool attention_is_apart(const AttentionCall *call, AttentionOperand which);

/* u8 for a boolean bias, otherwise f32 (f64 for f64). */
DType attention_bias_dtype(const AttentionCall *call);

/* Whether a call is valid for any backend. Errors: STATUS_CONFIG with the reason. */
NODISCARD Status attention_check(const AttentionCall *call);

#ifdef __cplusplus
}
#endif
