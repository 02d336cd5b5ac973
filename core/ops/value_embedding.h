/* value_embedding: adds a gated embedding to the heads of v in a packed qkv, in place:
 *
 *     v[j] += gate[j] e[j]            for each head j < NH_kv
 *
 *   qkv (B, T, (NH + 2 NH_kv) HS): the heads of q, of k, of v
 *   e (B, T, NH_kv HS)   gate (NH_kv)
 *
 * Source: the value embeddings of github.com/KellerJordan/modded-nanogpt, after Zhou et al.,
 * arXiv:2410.17897. */
#pragma once

#include "core/program.h"

enum { VALUE_EMBEDDING_PARTS = 128 }; /* row parts of the gradient of a head's gate */

typedef struct ValueEmbeddingAttrs {
    int64_t NH, NH_kv, HS;
    bool accumulate_e, accumulate_gate; /* backward: add to de, dgate */
} ValueEmbeddingAttrs;

/* inputs qkv, e, gate; outputs y, a view of qkv. */
extern const Op value_embedding_op;

/* inputs d (the gradient of y), e, gate; outputs de|NULL, dgate|NULL. */
extern const Op value_embedding_backward_op;

/* Records y, a view of qkv: no other op may read qkv, and a range that is recomputed
 * (core/passes/recompute.h) must contain the op that writes qkv.
 *   Errors: STATUS_CONFIG if the shapes do not fit. */
Tensor *value_embedding_record(Program *p, Tensor *qkv, Tensor *e, Tensor *gate, int64_t NH,
                               int64_t NH_kv, int64_t HS);
