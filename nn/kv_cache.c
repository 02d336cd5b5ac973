#include "nn/kv_cache.h"

#include "core/ops/scatter_rows.h"

#include <stdlib.h>

static Status no_memory(void) { return OUT_OF_MEMORY("a cache of keys and values"); }

static int64_t columns_of(const ModelConfig *config) { return 2 * config->NH_kv * config->HS; }

/* The rows before the next token that the short convolution in this place of a layer reads. */
static int64_t past_rows(const ModelConfig *config, int place) {
    int64_t taps = config->short_conv[place];
    return taps == 0 ? 0 : taps - 1;
}

static Status past_create(Store *store, const ModelConfig *config, int place, KvCache *cache) {
    int64_t shape[] = {cache->B, past_rows(config, place), model_conv_columns(config, place)};
    if (shape[1] == 0) return OK;
    Tensor **past = arena_alloc(&cache->arena, (size_t)cache->L * sizeof *past);
    cache->past[place] = past;
    if (past == NULL) return no_memory();
    for (int64_t i = 0; i < cache->L; i++)
        TRY(section_add(store, cache->section, "past", 3, shape, &past[i]));
    return OK;
}

static Status layers_create(Store *store, const ModelConfig *config, KvCache *cache) {
    size_t L = (size_t)cache->L;
    cache->layers = arena_alloc(&cache->arena, L * sizeof(Tensor *));
    cache->windows = arena_alloc(&cache->arena, L * sizeof *cache->windows);
    if (cache->layers == NULL || cache->windows == NULL) return no_memory();
    int64_t shape[] = {cache->B, cache->capacity, columns_of(config)};
    for (int64_t i = 0; i < cache->L; i++) {
        int64_t window = layer_pattern_at(&config->window, i);
        cache->windows[i] = window >= cache->capacity ? 0 : window;
        TRY(section_add(store, cache->section, "kv", 3, shape, &cache->layers[i]));
    }
    for (int place = 0; place < CONV_PLACES; place++) TRY(past_create(store, config, place, cache));
    return OK;
}

Status kv_cache_create(Store *store, const ModelConfig *config, DType dtype, int64_t B,
                       int64_t capacity, KvCache **out) {
    KvCache *cache = *out = calloc(1, sizeof *cache);
    if (cache == NULL) return no_memory();
    cache->B = B, cache->capacity = capacity, cache->L = config->L;
    TRY(store_section(store, "kv_cache", BUFFER_ACTIVATIONS, dtype, &cache->section));
    return layers_create(store, config, cache);
}

void kv_cache_destroy(KvCache **cache) {
    if (cache == NULL || *cache == NULL) return;
    arena_free(&(*cache)->arena);
    free(*cache);
    *cache = NULL;
}

size_t kv_cache_row_bytes(const ModelConfig *config, DType dtype, int64_t capacity) {
    int64_t elements = capacity * columns_of(config);
    for (int place = 0; place < CONV_PLACES; place++)
        elements += past_rows(config, place) * model_conv_columns(config, place);
    return (size_t)(config->L * elements) * dtype_size(dtype);
}

/* The layer with the same window that comes first. */
static int64_t first_with_window(const KvCache *cache, int64_t window) {
    int64_t i = 0;
    while (cache->windows[i] != window) i++;
    return i;
}

Status kv_tokens_create(Store *store, KvCache *cache, int64_t n, KvTokens *out) {
    *out = (KvTokens){.cache = cache, .n = n};
    const int64_t shape[] = {2, cache->B, n};
    TRY(store_section(store, "tokens", BUFFER_INPUTS, DTYPE_I32, &out->section));
    TRY(section_add(store, out->section, "tokens", 2, shape + 1, &out->tokens));
    TRY(section_add(store, out->section, "positions", 2, shape + 1, &out->positions));
    TRY(section_add(store, out->section, "count", 1, (int64_t[]){1}, &out->count));
    out->key_ranges = arena_alloc(&cache->arena, (size_t)cache->L * sizeof(Tensor *));
    if (out->key_ranges == NULL) return no_memory();
    for (int64_t i = 0; i < cache->L; i++) {
        int64_t same = first_with_window(cache, cache->windows[i]);
        out->key_ranges[i] = out->key_ranges[same];
        if (same == i)
            TRY(section_add(store, out->section, "key_ranges", 3, shape, &out->key_ranges[i]));
    }
    out->host = arena_alloc(&cache->arena, tensor_bytes(out->section->flat));
    return out->host == NULL ? no_memory() : OK;
}

/* The place of an input's values in the copy on the host. */
static int32_t *host_of(const KvTokens *tokens, const Tensor *input) {
    return tokens->host + input->offset / sizeof(int32_t);
}

static void ranges_fill(const KvTokens *tokens, int64_t layer, int64_t first) {
    int64_t n = tokens->n, B = tokens->cache->B, capacity = tokens->cache->capacity,
            window = tokens->cache->windows[layer];
    int32_t *firsts = host_of(tokens, tokens->key_ranges[layer]), *ends = firsts + B * n;
    for (int64_t i = 0; i < B * n; i++) {
        int64_t end = first + i % n + 1;
        firsts[i] = (int32_t)(window > 0 && end > window ? end - window : 0);
        ends[i] = (int32_t)(end < capacity ? end : capacity);
    }
}

Status kv_tokens_upload(const KvTokens *tokens, Device *device, const int32_t *values,
                        int64_t first, int64_t real) {
    const KvCache *cache = tokens->cache;
    int32_t *ids = host_of(tokens, tokens->tokens), *positions = host_of(tokens, tokens->positions);
    for (int64_t i = 0; i < cache->B * tokens->n; i++) {
        ids[i] = values[i];
        positions[i] = (int32_t)(first + i % tokens->n);
    }
    *host_of(tokens, tokens->count) = (int32_t)real;
    for (int64_t i = 0; i < cache->L; i++) {
        if (first_with_window(cache, cache->windows[i]) == i) ranges_fill(tokens, i, first);
    }
    return device_upload(device, tokens->section->flat, tokens->host);
}

Tensor *kv_cache_attention_record(Program *p, const KvTokens *tokens, int layer, Tensor *qkv,
                                  const AttentionOptions *options) {
    Tensor *cache = tokens->cache->layers[layer];
    if (program_failed(p) || qkv == NULL) return NULL;
    scatter_rows_record(p, cache, qkv, tokens->positions,
                        tensor_columns(qkv) - tensor_columns(cache));
    return attention_record_cached(p, qkv, cache, tokens->key_ranges[layer], options);
}
