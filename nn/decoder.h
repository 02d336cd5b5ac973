/* Decoder: predicts the next token of each row of a batch with a model's weights. The keys and
 * values of earlier tokens are kept (nn/kv_cache.h). Not collective.
 *
 *   TRY(decoder_create(store, model, dtype, B, capacity, &d));
 *   TRY(decoder_record(d, target));
 *   ... store_allocate, the weights ...
 *   TRY(decoder_bind(d, device));
 *   decoder_begin(d, prompt, n);
 *   TRY(decoder_logits(d, &logits));      ... choose a token for each row ...
 *   decoder_append(d, tokens);            ... and again from decoder_logits on */
#pragma once

#include "core/bound_program.h"
#include "nn/kv_cache.h"
#include "nn/model.h"

typedef struct Decoder Decoder;

/* Declares cache and inputs in the store. `dtype`: of the weights, not f64; `capacity`: tokens that
 * a row holds. Destroy `out` after a failure, too; `store` and `model` outlive it. */
NODISCARD Status decoder_create(Store *store, const Model *model, DType dtype, int64_t B,
                                int64_t capacity, Decoder **out);
void decoder_destroy(Decoder **decoder);

/* Records and plans its programs; uses no device. */
NODISCARD Status decoder_record(Decoder *decoder, Target target);

/* Takes the memory of the activations. The store must have been allocated. */
NODISCARD Status decoder_bind(Decoder *decoder, Device *device);

/* The plan with the greatest need of memory, and that need in bytes; the cache is in the store. */
const Plan *decoder_largest_plan(const Decoder *decoder);
size_t decoder_arena_bytes(const Decoder *decoder);
size_t decoder_cache_bytes(const Decoder *decoder);

/* For a model trained with attention.document_mask: a token sees its own document, whose last token
 * is `end_of_text`, as one that starts at position 0. What a row that has ended appends is of no
 * meaning until all rows have. */
void decoder_hide_documents(Decoder *decoder, int32_t end_of_text);

/* Every row starts with the last tokens of a prompt that fit, n >= 1. Returns their number. */
int64_t decoder_begin(Decoder *decoder, const int32_t *prompt, int64_t n);

/* logits (B, V) f32 of the next token of each row; valid until the next call. */
NODISCARD Status decoder_logits(Decoder *decoder, float **logits);

/* Appends a token to each row. If a row is full, only the last half of its tokens remains, and the
 * next call of decoder_logits computes them again. */
void decoder_append(Decoder *decoder, const int32_t *tokens);
