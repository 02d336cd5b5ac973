#include "nn/decoder.h"

#include "core/ops/linear.h"

#include <stdlib.h>
#include <string.h>

/* A prompt is computed in chunks of these lengths; the rest of a short one is padding. */
static const int64_t chunk_lengths[] = {16, 128};
enum { CHUNKS = sizeof chunk_lengths / sizeof *chunk_lengths, DECODE = CHUNKS, PROGRAMS };

struct Decoder {
    const Model *model;
    KernelChoice attention;
    int64_t B, capacity;
    KvCache *cache;
    KvTokens tokens[PROGRAMS];       /* n 0: the program is not needed */
    BoundProgram programs[PROGRAMS]; /* one per chunk length, without the head; then one token */
    Device *device;
    Tensor *logits;        /* (B, 1, Vp) f32 */
    float *host;           /* (B, Vp) */
    int32_t *window;       /* (B, capacity): the tokens of each row */
    int32_t *chunk;        /* (B, chunk length) */
    int64_t count, cached; /* tokens of a row in the window; of these in the cache */
    int64_t end_of_text;   /* -1: tokens see each other across documents */
};

static Status no_memory(void) { return OUT_OF_MEMORY("a decoder"); }

/* The lengths of the chunks that a row can fill; the shortest always exists. */
static Status inputs_create(Decoder *d, Store *store) {
    for (int i = 0; i < CHUNKS; i++) {
        bool fits = chunk_lengths[i] <= d->capacity;
        if (fits || i == 0)
            TRY(kv_tokens_create(store, d->cache, fits ? chunk_lengths[i] : d->capacity,
                                 &d->tokens[i]));
    }
    return kv_tokens_create(store, d->cache, 1, &d->tokens[DECODE]);
}

static Status tensors_create(Decoder *d, Store *store, DType dtype) {
    const ModelConfig *c = &d->model->config;
    Section *results;
    size_t B = (size_t)d->B;
    TRY(kv_cache_create(store, c, dtype, d->B, d->capacity, &d->cache));
    TRY(inputs_create(d, store));
    TRY(store_section(store, "results", BUFFER_INPUTS, DTYPE_F32, &results));
    TRY(section_add(store, results, "logits", 3, (int64_t[]){d->B, 1, c->Vp}, &d->logits));
    d->host = malloc(B * (size_t)c->Vp * sizeof *d->host);
    d->window = malloc(B * (size_t)d->capacity * sizeof *d->window);
    d->chunk = malloc(B * (size_t)chunk_lengths[CHUNKS - 1] * sizeof *d->chunk);
    return d->host == NULL || d->window == NULL || d->chunk == NULL ? no_memory() : OK;
}

Status decoder_create(Store *store, const Model *model, DType dtype, int64_t B, int64_t capacity,
                      Decoder **out) {
    Decoder *d = *out = calloc(1, sizeof **out);
    if (d == NULL) return no_memory();
    d->model = model;
    d->B = B;
    d->capacity = capacity;
    d->end_of_text = -1;
    return tensors_create(d, store, dtype);
}

Status decoder_record(Decoder *d, Target target) {
    for (int i = 0; i < PROGRAMS; i++) {
        if (d->tokens[i].n == 0) continue;
        ForwardContext context = {.attention = &d->attention, .cached = &d->tokens[i]};
        TRY(program_create(target, false, &d->programs[i].program));
        Program *p = d->programs[i].program;
        Tensor *x = model_forward(p, d->model, d->tokens[i].tokens, &context);
        if (i != DECODE) continue;
        program_label(p, "head");
        linear_into(p, d->logits, x, d->model->head->weight);
    }
    return bound_programs_plan(d->programs, PROGRAMS);
}

Status decoder_bind(Decoder *d, Device *device) {
    d->device = device;
    return bound_programs_bind(d->programs, PROGRAMS, device, "activations of generation");
}

void decoder_destroy(Decoder **decoder) {
    if (decoder == NULL || *decoder == NULL) return;
    Decoder *d = *decoder;
    bound_programs_destroy(d->programs, PROGRAMS);
    kv_cache_destroy(&d->cache);
    free(d->host);
    free(d->window);
    free(d->chunk);
    free(d);
    *decoder = NULL;
}

const Plan *decoder_largest_plan(const Decoder *d) {
    const Plan *largest = NULL;
    for (int i = 0; i < PROGRAMS; i++) {
        const Plan *plan = d->programs[i].plan;
        if (plan != NULL && (largest == NULL || plan->bytes > largest->bytes)) largest = plan;
    }
    return largest;
}

size_t decoder_arena_bytes(const Decoder *d) { return bound_programs_bytes(d->programs, PROGRAMS); }

size_t decoder_cache_bytes(const Decoder *d) { return tensor_bytes(d->cache->section->flat); }

void decoder_hide_documents(Decoder *d, int32_t end_of_text) { d->end_of_text = end_of_text; }

/* The start of the last token's document. An end of text is the last token of its own. */
static int64_t document_start(const Decoder *d, const int32_t *tokens, int64_t n) {
    int64_t start = n - 1;
    if (d->end_of_text < 0) return 0;
    while (start > 0 && tokens[start - 1] != d->end_of_text) start--;
    return start;
}

int64_t decoder_begin(Decoder *d, const int32_t *prompt, int64_t n) {
    int64_t start = document_start(d, prompt, n);
    prompt += start;
    n -= start;
    d->count = n < d->capacity ? n : d->capacity;
    d->cached = 0;
    for (int64_t b = 0; b < d->B; b++) {
        memcpy(d->window + b * d->capacity, prompt + (n - d->count),
               (size_t)d->count * sizeof *prompt);
    }
    return d->count;
}

/* Runs a program on the next `n` tokens of each row, of which `real` exist. */
static Status chunk_run(Decoder *d, int program, int64_t real) {
    const KvTokens *tokens = &d->tokens[program];
    for (int64_t b = 0; b < d->B; b++) {
        int32_t *to = d->chunk + b * tokens->n;
        memset(to, 0, (size_t)tokens->n * sizeof *to);
        memcpy(to, d->window + b * d->capacity + d->cached, (size_t)real * sizeof *to);
    }
    TRY(kv_tokens_upload(tokens, d->device, d->chunk, d->cached, real));
    d->cached += real;
    return device_replay(d->device, d->programs[program].program);
}

/* All but the last token of each row: long chunks while they are full, then short ones. */
static Status window_cache(Decoder *d) {
    for (int i = CHUNKS - 1; i >= 0; i--) {
        int64_t n = d->tokens[i].n;
        while (n > 0 && d->cached < d->count - 1) {
            int64_t left = d->count - 1 - d->cached;
            if (left < n && i > 0) break;
            TRY(chunk_run(d, i, left < n ? left : n));
        }
    }
    return OK;
}

Status decoder_logits(Decoder *d, float **logits) {
    const ModelConfig *c = &d->model->config;
    TRY(window_cache(d));
    TRY(chunk_run(d, DECODE, 1));
    TRY(device_download(d->device, d->host, d->logits));
    for (int64_t b = 0; b < d->B; b++) model_logits_row(c, d->host + b * c->Vp, d->host + b * c->V);
    *logits = d->host;
    return OK;
}

static bool is_last_in_all(const Decoder *d, int64_t token) {
    for (int64_t b = 0; b < d->B; b++) {
        if (d->window[b * d->capacity + d->count - 1] != token) return false;
    }
    return true;
}

void decoder_append(Decoder *d, const int32_t *tokens) {
    if (d->end_of_text >= 0 && is_last_in_all(d, d->end_of_text)) {
        d->count = d->cached = 0;
    } else if (d->count == d->capacity) {
        int64_t kept = (d->capacity + 1) / 2 - 1;
        for (int64_t b = 0; b < d->B; b++) {
            int32_t *row = d->window + b * d->capacity;
            memmove(row, row + (d->count - kept), (size_t)kept * sizeof *row);
        }
        d->count = kept;
        d->cached = 0;
    }
    for (int64_t b = 0; b < d->B; b++) d->window[b * d->capacity + d->count] = tokens[b];
    d->count++;
}
