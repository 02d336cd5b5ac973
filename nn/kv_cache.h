/* KV cache: the keys and values of the tokens so far, of every layer, so that generation computes
 * only new tokens; and the last rows that its short convolutions have read. Not collective.
 *
 * A program that appends n tokens to each row of a batch has KvTokens as its inputs, in
 * ForwardContext.cached: each layer writes k and v of the new tokens at their positions, then reads
 * those of all earlier tokens that its window leaves. */
#pragma once

#include "core/device.h"
#include "core/store.h"
#include "nn/attention/attention.h"
#include "nn/model_config.h"

typedef struct KvCache {
    int64_t B, capacity; /* rows, and positions of a row */
    int64_t L;
    Tensor **layers;            /* (L), each (B, capacity, 2 NH_kv HS): keys, then values */
    int64_t *windows;           /* (L): of each layer; 0: none */
    Tensor **past[CONV_PLACES]; /* (L), each (B, taps - 1, columns); NULL: none there */
    Section *section;
    Arena arena;
} KvCache;

/* Declares the cache in the store, whose memory starts as zeros. `config` is complete. Destroy
 * `out` after a failure, too. */
NODISCARD Status kv_cache_create(Store *store, const ModelConfig *config, DType dtype, int64_t B,
                                 int64_t capacity, KvCache **out);
void kv_cache_destroy(KvCache **cache);

/* Bytes of a cache with one row. */
size_t kv_cache_row_bytes(const ModelConfig *config, DType dtype, int64_t capacity);

/* n new tokens of each row. */
typedef struct KvTokens {
    const KvCache *cache;
    int64_t n;
    Tensor *tokens, *positions; /* (B, n) i32 */
    Tensor *count;              /* (1) i32: the first tokens of a row that are not padding */
    Tensor **key_ranges;        /* (L), each i32 (2, B, n); layers with equal windows share one */
    Section *section;           /* holds these inputs */
    int32_t *host;              /* a copy of the section on the host */
} KvTokens;

/* Declares the inputs in the store. They borrow from the cache, which frees them. */
NODISCARD Status kv_tokens_create(Store *store, KvCache *cache, int64_t n, KvTokens *out);

/* Uploads tokens (B, n) for the positions first to first + n - 1 of each row, of which the first
 * `real` exist; the others are padding, and the next upload begins there. Token t sees keys
 * [max(0, position - window + 1), position + 1). */
NODISCARD Status kv_tokens_upload(const KvTokens *tokens, Device *device, const int32_t *values,
                                  int64_t first, int64_t real);

/* Appends k and v of a packed qkv (B, n, (NH + 2 NH_kv) HS) to the cache of a layer and returns the
 * attention of q over it, (B, n, NH HS). Options as for attention_record; the window is the
 * cache's. */
Tensor *kv_cache_attention_record(Program *p, const KvTokens *tokens, int layer, Tensor *qkv,
                                  const AttentionOptions *options);
