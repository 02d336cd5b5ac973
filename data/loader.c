#include "data/loader.h"

#include <string.h>

enum { RUN_SAMPLES = 65536 };

/* Keys the order of parts, unlike that of windows. */
static const uint64_t mix_key = UINT64_C(0x9E3779B97F4A7C15);

static Status part_init(const TokenPart *part, const char *path, uint64_t seed, int64_t T,
                        LoaderPart *out) {
    out->start = part->start;
    Status status = batch_order_init(seed, part->count, T, &out->order);
    if (!failed(status)) return OK;
    return ERROR(status.code, "%s: %s; prepare more text or set a smaller model.block_size", path,
                 status_message());
}

/* Rounds the cumulative weights, so that the shares add up. */
static Status shares_set(Loader *loader) {
    double total = 0, sum = 0;
    int64_t before = 0;
    for (int j = 0; j < loader->n_parts; j++) total += token_set_part(loader->tokens, j)->weight;
    for (int j = 0; j < loader->n_parts; j++) {
        const TokenPart *part = token_set_part(loader->tokens, j);
        sum += part->weight;
        int64_t end = (int64_t)(sum / total * RUN_SAMPLES + 0.5);
        if (j == loader->n_parts - 1) end = RUN_SAMPLES;
        loader->parts[j].share = end - before;
        before = end;
        if (loader->parts[j].share > 0) continue;
        return ERROR(STATUS_CONFIG,
                     "data.train: the weight %g of %s is below 1 / %d of all weights; leave it out",
                     part->weight, part->path, RUN_SAMPLES);
    }
    return OK;
}

Status loader_init(const TokenSet *tokens, uint64_t seed, int64_t T, Loader *out) {
    *out = (Loader){.tokens = tokens, .seed = seed, .n_parts = token_set_parts(tokens)};
    for (int j = 0; j < out->n_parts; j++) {
        const TokenPart *part = token_set_part(tokens, j);
        const char *path = out->n_parts == 1 ? token_set_path(tokens) : part->path;
        TRY(part_init(part, path, seed + (uint64_t)j * mix_key, T, &out->parts[j]));
    }
    return shares_set(out);
}

int64_t loader_start(const Loader *loader, int64_t sample) {
    const LoaderPart *part = loader->parts;
    if (loader->n_parts > 1) {
        int64_t run = sample / RUN_SAMPLES,
                place = batch_order_permute(loader->seed ^ mix_key, run, RUN_SAMPLES,
                                            sample % RUN_SAMPLES);
        for (; place >= part->share; part++) place -= part->share;
        sample = run * part->share + place;
    }
    return part->start + batch_order_start(&part->order, sample);
}

static Status window_read(const Loader *loader, int64_t start, int32_t *inputs, int32_t *targets) {
    int64_t T = loader->parts[0].order.T;
    TRY(token_set_read(loader->tokens, start, T, inputs));
    memcpy(targets, inputs + 1, (size_t)(T - 1) * sizeof *inputs);
    return token_set_read(loader->tokens, start + T, 1, targets + T - 1);
}

Status loader_fill(const Loader *loader, int64_t first, int64_t B, int32_t *inputs,
                   int32_t *targets) {
    int64_t T = loader->parts[0].order.T;
    for (int64_t b = 0; b < B; b++) {
        int64_t start = loader_start(loader, first + b);
        TRY(window_read(loader, start, inputs + b * T, targets + b * T));
    }
    return OK;
}
