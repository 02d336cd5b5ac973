#include "launch/generate/generator.h"

#include "core/bound_program.h"
#include "core/ops/linear.h"
#include "data/token_text.h"
#include "launch/config/config_load.h"
#include "launch/run/run_checkpoint.h"
#include "launch/run/state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A prompt is computed in chunks of these lengths; the rest of a short one is padding. */
static const int64_t chunk_lengths[] = {16, 128};
enum {
    CHUNKS = sizeof chunk_lengths / sizeof *chunk_lengths,
    DECODE = CHUNKS,
    PROGRAMS,
    MOST = 64
};

struct Generator {
    Config *config; /* e's */
    Experiment e;
    CheckpointFile *file;
    Arena arena;
    KernelChoice attention;
    Tokenizer *tokenizer;
    DType dtype;
    int64_t B, capacity;
    KvCache *cache;
    KvTokens tokens[PROGRAMS];       /* n 0: the program is not needed */
    BoundProgram programs[PROGRAMS]; /* one per chunk length, without the head; then one token */
    Tensor *logits;                  /* (B, 1, Vp) f32 */
    float *host;                     /* (B, Vp) */
    int32_t *window;                 /* (B, capacity): the tokens of each row */
    int32_t *chunk;                  /* (B, chunk length) */
    int64_t count, cached;           /* tokens of a row in the window; of these in the cache */
};

static Status no_memory(void) {
    return ERROR(STATUS_OUT_OF_MEMORY, "out of memory while loading the model");
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Refuses a file that has been replaced since: the same numbers would be other tokens. */
static Status tokenizer_check(const Generator *g, const char *name) {
    int64_t hash = 0;
    if (failed(checkpoint_read_i64(g->file, "tokenizer_hash", &hash)))
        hash = 0; /* converted weights; written by an older version */
    TokenizerId found = {tokenizer_name(g->tokenizer), tokenizer_hash(g->tokenizer)};
    if (tokenizer_ids_agree((TokenizerId){"", (uint64_t)hash}, found)) return OK;
    return ERROR(STATUS_DATA, "%s: its tokenizer %s has changed since; restore that file",
                 checkpoint_path(g->file), name);
}

static Status tokenizer_pick(Generator *g) {
    char *name = NULL;
    int64_t V = g->e.config->model.V;
    TRY(checkpoint_read_text(g->file, "tokenizer", &g->arena, &name));
    if (strcmp(name, TOKENIZER_UNKNOWN) == 0) {
        return ERROR(
            STATUS_DATA,
            "%s: converted weights of %lld tokens with an unknown tokenizer; train on from "
            "them with data of ./prepare, whose tokenizer the next checkpoint names",
            checkpoint_path(g->file), (long long)V);
    }
    TRY(tokenizer_open(name[0] == '\0' ? TOKENIZER_OF_NAMELESS : name, &g->tokenizer));
    TRY(tokenizer_check(g, name));
    if (tokenizer_vocab_size(g->tokenizer) <= V) return OK;
    return ERROR(STATUS_DATA, "%s: the model knows %lld tokens, the tokenizer %s has %lld",
                 checkpoint_path(g->file), (long long)V, name,
                 (long long)tokenizer_vocab_size(g->tokenizer));
}

Status generator_open(const char *path, Generator **out) {
    Generator *g = *out = calloc(1, sizeof **out);
    char *text = NULL;
    const char *warnings = "";
    if (g == NULL) return no_memory();
    TRY(run_checkpoint_open(path, &g->arena, &g->file, &warnings));
    status_warn("generate", warnings);
    TRY(checkpoint_read_text(g->file, "config", &g->arena, &text));
    TRY(config_load_text(text, checkpoint_path(g->file), 0, NULL, &g->config));
    experiment_configure(&g->e, g->config);
    return tokenizer_pick(g);
}

/* ---- preparing ------------------------------------------------------------------------------- */

static DType dtype_of_run(const Generator *g) {
    DType dtype = config_dtype(g->config);
    bool is_cpu = g->e.device->target.kind == DEVICE_CPU;
    return is_cpu || dtype == DTYPE_F64 ? DTYPE_F32 : dtype;
}

static Status dtype_settle(Generator *g, GeneratorDtype wanted) {
    static const DType dtypes[] = {[GENERATOR_FLOAT32] = DTYPE_F32,
                                   [GENERATOR_BFLOAT16] = DTYPE_BF16,
                                   [GENERATOR_FLOAT16] = DTYPE_F16};
    Device *device = g->e.device;
    g->dtype = wanted == GENERATOR_AUTO ? dtype_of_run(g) : dtypes[wanted];
    device->autotune = g->config->autotune;
    device->tf32 = wanted == GENERATOR_AUTO && g->config->training.dtype == CONFIG_DTYPE_TF32;
    if (g->dtype != DTYPE_F32 && device->target.kind == DEVICE_CPU)
        return ERROR(STATUS_USAGE, "--dtype other than float32 needs a GPU; add --dtype=float32");
    if (g->dtype != DTYPE_BF16 || device->target.sm >= 80) return OK;
    return ERROR(STATUS_USAGE,
                 "bfloat16 needs compute capability 8.0, %s has %d.%d; add --dtype=float16",
                 device->name, device->target.sm / 10, device->target.sm % 10);
}

static Status device_choose(Generator *g, GeneratorDtype dtype) {
    Experiment *e = &g->e;
    if (device_count_cuda() > 0 && e->config->device != CONFIG_DEVICE_CPU)
        TRY(device_open_cuda(0, &e->device));
    else
        TRY(device_open_cpu((int)e->config->threads, &e->device));
    return dtype_settle(g, dtype);
}

static Status model_build(Generator *g) {
    Experiment *e = &g->e;
    ModelConfig model = experiment_model_config(e->config, e->config->model.V);
    TRY(store_create(&e->store));
    TRY(parameters_create(e->store, g->dtype, false, &e->parameters));
    return model_create(&model, e->parameters, &e->model);
}

static Status rows_choose(Generator *g, int64_t wanted) {
    size_t row = kv_cache_row_bytes(&g->e.model->config, g->dtype, g->capacity), free_bytes, total,
           weights = store_bytes(g->e.store);
    TRY(device_memory(g->e.device, &free_bytes, &total));
    size_t left = free_bytes > weights ? (free_bytes - weights) / 2 : 0;
    int64_t fit = left / row < MOST ? (int64_t)(left / row) : MOST, most = fit > 1 ? fit : 1;
    int64_t batches = (wanted + most - 1) / most;
    g->B = (wanted + batches - 1) / batches;
    return OK;
}

/* The lengths of the chunks that a row can fill; the shortest always exists. */
static Status inputs_create(Generator *g) {
    Store *store = g->e.store;
    for (int i = 0; i < CHUNKS; i++) {
        bool fits = chunk_lengths[i] <= g->capacity;
        if (fits || i == 0)
            TRY(kv_tokens_create(store, g->cache, fits ? chunk_lengths[i] : g->capacity,
                                 &g->tokens[i]));
    }
    return kv_tokens_create(store, g->cache, 1, &g->tokens[DECODE]);
}

static Status tensors_create(Generator *g) {
    const ModelConfig *c = &g->e.model->config;
    Section *results;
    size_t B = (size_t)g->B;
    TRY(kv_cache_create(g->e.store, c, g->dtype, g->B, g->capacity, &g->cache));
    TRY(inputs_create(g));
    TRY(store_section(g->e.store, "results", BUFFER_INPUTS, DTYPE_F32, &results));
    TRY(section_add(g->e.store, results, "logits", 3, (int64_t[]){g->B, 1, c->Vp}, &g->logits));
    g->host = malloc(B * (size_t)c->Vp * sizeof *g->host);
    g->window = malloc(B * (size_t)g->capacity * sizeof *g->window);
    g->chunk = malloc(B * (size_t)chunk_lengths[CHUNKS - 1] * sizeof *g->chunk);
    return g->host == NULL || g->window == NULL || g->chunk == NULL ? no_memory() : OK;
}

static Status programs_record(Generator *g) {
    for (int i = 0; i < PROGRAMS; i++) {
        if (g->tokens[i].n == 0) continue;
        ForwardContext context = {.attention = &g->attention, .cached = &g->tokens[i]};
        TRY(program_create(g->e.device->target, false, &g->programs[i].program));
        Program *p = g->programs[i].program;
        Tensor *x = model_forward(p, g->e.model, g->tokens[i].tokens, &context);
        if (i != DECODE) continue;
        program_label(p, "head");
        linear_into(p, g->logits, x, g->e.model->head->weight);
    }
    return bound_programs_plan(g->programs, PROGRAMS);
}

Status generator_prepare(Generator *g, const GeneratorOptions *options) {
    int64_t block = g->config->model.T;
    g->capacity = options->tokens < block ? options->tokens : block;
    TRY(device_choose(g, options->dtype));
    TRY(model_build(g));
    TRY(rows_choose(g, options->rows));
    TRY(tensors_create(g));
    TRY(programs_record(g));
    TRY(store_allocate(g->e.store, g->e.device));
    TRY(bound_programs_bind(g->programs, PROGRAMS, g->e.device, "activations"));
    TRY(state_load_weights(&g->e, g->file, &g->arena));
    checkpoint_close(&g->file);
    return OK;
}

void generator_destroy(Generator **generator) {
    if (generator == NULL || *generator == NULL) return;
    Generator *g = *generator;
    checkpoint_close(&g->file);
    bound_programs_destroy(g->programs, PROGRAMS);
    kv_cache_destroy(&g->cache);
    tokenizer_destroy(&g->tokenizer);
    free(g->host);
    free(g->window);
    free(g->chunk);
    experiment_destroy(&g->e);
    config_destroy(&g->config);
    arena_free(&g->arena);
    free(g);
    *generator = NULL;
}

Tokenizer *generator_tokenizer(const Generator *g) { return g->tokenizer; }
int64_t generator_vocab_size(const Generator *g) { return g->e.config->model.V; }
int64_t generator_rows(const Generator *g) { return g->B; }

GeneratorMemory generator_memory(const Generator *g) {
    return (GeneratorMemory){.weights = tensor_bytes(g->e.parameters->weights->flat),
                             .cache = tensor_bytes(g->cache->section->flat),
                             .activations = bound_programs_bytes(g->programs, PROGRAMS)};
}

/* ---- generating ------------------------------------------------------------------------------ */

int64_t generator_begin(Generator *g, const int32_t *prompt, int64_t n) {
    g->count = n < g->capacity ? n : g->capacity;
    g->cached = 0;
    for (int64_t b = 0; b < g->B; b++) {
        memcpy(g->window + b * g->capacity, prompt + (n - g->count),
               (size_t)g->count * sizeof *prompt);
    }
    return g->count;
}

/* Runs a program on the next `n` tokens of each row, of which `real` exist. */
static Status chunk_run(Generator *g, int program, int64_t real) {
    const KvTokens *tokens = &g->tokens[program];
    for (int64_t b = 0; b < g->B; b++) {
        int32_t *to = g->chunk + b * tokens->n;
        memset(to, 0, (size_t)tokens->n * sizeof *to);
        memcpy(to, g->window + b * g->capacity + g->cached, (size_t)real * sizeof *to);
    }
    TRY(kv_tokens_upload(tokens, g->e.device, g->chunk, g->cached));
    g->cached += real;
    return device_replay(g->e.device, g->programs[program].program);
}

/* All but the last token of each row: long chunks while they are full, then short ones. */
static Status window_cache(Generator *g) {
    for (int i = CHUNKS - 1; i >= 0; i--) {
        int64_t n = g->tokens[i].n;
        while (n > 0 && g->cached < g->count - 1) {
            int64_t left = g->count - 1 - g->cached;
            if (left < n && i > 0) break;
            TRY(chunk_run(g, i, left < n ? left : n));
        }
    }
    return OK;
}

Status generator_logits(Generator *g, float **logits) {
    const ModelConfig *c = &g->e.model->config;
    double cap = c->logit_softcap;
    TRY(window_cache(g));
    TRY(chunk_run(g, DECODE, 1));
    TRY(device_download(g->e.device, g->host, g->logits));
    for (int64_t b = 0; b < g->B; b++) { /* without the vocabulary's padding */
        const float *from = g->host + b * c->Vp;
        float *to = g->host + b * c->V;
        if (cap == 0) memmove(to, from, (size_t)c->V * sizeof *to);
        for (int64_t v = 0; v < c->V && cap != 0; v++)
            to[v] = (float)cap * tanhf(from[v] / (float)cap);
    }
    *logits = g->host;
    return OK;
}

void generator_append(Generator *g, const int32_t *tokens) {
    if (g->count == g->capacity) {
        int64_t kept = (g->capacity + 1) / 2 - 1;
        for (int64_t b = 0; b < g->B; b++) {
            int32_t *row = g->window + b * g->capacity;
            memmove(row, row + (g->count - kept), (size_t)kept * sizeof *row);
        }
        g->count = kept;
        g->cached = 0;
    }
    for (int64_t b = 0; b < g->B; b++) g->window[b * g->capacity + g->count] = tokens[b];
    g->count++;
}
