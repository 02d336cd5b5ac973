/* Small models that compute a text whole, in chunks with a cache, and token by token with it. */
#pragma once

#include "core/bound_program.h"
#include "nn/model.h"

enum { B = 2, T = 24, V = 29, VP = 32, CHUNK = 8 };

/* The whole text; chunks of it; one token at a time. */
enum { WHOLE, CHUNKED, DECODED, PROGRAMS };

typedef struct CachedModel {
    Device *device; /* borrowed */
    DType dtype;
    Store *store;
    Parameters *parameters;
    Model *model;
    KvCache *cache;
    KvTokens chunk, next;
    Tensor *tokens, *whole, *logits; /* (B, T); f32 (B, T, Vp), (B, 1, Vp) */
    float *host_whole, *host_logits; /* the same after a run */
    KernelChoice attention;
    BoundProgram programs[PROGRAMS];
} CachedModel;

/* The layers of each family, small, with a window shorter than the text. */
typedef struct CachedCase {
    const char *name;
    ModelConfig config;
} CachedCase;
extern const CachedCase cached_cases[];
extern const int n_cached_cases;

/* Sets the sizes to C channels, three layers and the text's; creates a model with weights far from
 * the initialization, the same on every device. Call cached_close after a failure, too. */
NODISCARD Status cached_open(ModelConfig config, int64_t C, Device *device, DType dtype,
                             CachedModel *m);
void cached_close(CachedModel *m);

/* The logits of every token of the text. */
NODISCARD Status cached_run_whole(CachedModel *m);

/* `prompt` tokens in chunks, the last of which is padded, then one at a time. *worst is the largest
 * difference of their logits from those of `wanted`, relative to its largest logit. */
NODISCARD Status cached_compare(CachedModel *m, const CachedModel *wanted, int64_t prompt,
                                double *worst);

/* The same for the logits of cached_run_whole. */
double cached_whole_error(const CachedModel *m, const CachedModel *wanted);
