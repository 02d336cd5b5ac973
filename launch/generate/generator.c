#include "launch/generate/generator.h"

#include "core/bound_program.h"
#include "core/ops/linear.h"
#include "core/rng.h"
#include "data/token_text.h"
#include "launch/config/config_load.h"
#include "launch/run/run_checkpoint.h"
#include "launch/run/state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LENGTHS = 16 };

/* The model recorded for one context length. Contexts are padded on the right, which does not
 * affect a causal model. */
typedef struct Length {
    int64_t T;
    Tensor *tokens, *x; /* (1, T); (1, T, C) */
} Length;

struct Generator {
    Config *config; /* e's */
    Experiment e;
    Arena arena;
    KernelChoice attention;
    Tokenizer *tokenizer;
    Length lengths[MAX_LENGTHS];
    int n_lengths;
    BoundProgram
        programs[MAX_LENGTHS + 1]; /* one per length, then the head: row (1, C) -> logits (1, Vp) */
    Tensor *row, *logits;
    int32_t *padded; /* (T) */
    float *host;     /* a row of x, then of logits */
};

static Status no_memory(void) {
    return ERROR(STATUS_NO_ROOM, "out of memory while loading the model");
}

/* Refuses a file that has been replaced since: the same numbers would be other tokens. */
static Status tokenizer_check(const Generator *g, const CheckpointFile *file, const char *name) {
    int64_t hash = 0;
    if (failed(checkpoint_read_i64(file, "tokenizer_hash", &hash)))
        hash = 0; /* converted weights; written by an older version */
    TokenizerId found = {tokenizer_name(g->tokenizer), tokenizer_hash(g->tokenizer)};
    if (tokenizer_ids_agree((TokenizerId){"", (uint64_t)hash}, found)) return OK;
    return ERROR(STATUS_DATA, "%s: its tokenizer %s has changed since; restore that file",
                 checkpoint_path(file), name);
}

static Status tokenizer_pick(Generator *g, const CheckpointFile *file) {
    char *name = NULL;
    TRY(checkpoint_read_text(file, "tokenizer", &g->arena, &name));
    if (strcmp(name, TOKENIZER_UNKNOWN) == 0) {
        return ERROR(STATUS_DATA,
                     "%s: converted weights of %lld tokens, and nothing says what they stand for; "
                     "train on from them "
                     "with data of ./prepare, whose tokenizer the next checkpoint names",
                     checkpoint_path(file), (long long)g->e.config->model.V);
    }
    TRY(tokenizer_open(name[0] == '\0' ? TOKENIZER_OF_NAMELESS : name, &g->tokenizer));
    TRY(tokenizer_check(g, file, name));
    if (tokenizer_vocab_size(g->tokenizer) <= g->e.config->model.V) return OK;
    return ERROR(STATUS_DATA, "%s: the model knows %lld tokens, the tokenizer %s has %lld",
                 checkpoint_path(file), (long long)g->e.config->model.V, name,
                 (long long)tokenizer_vocab_size(g->tokenizer));
}

static Status tensors_create(Generator *g, int64_t T, int64_t C, int64_t Vp) {
    Section *batch, *rows;
    TRY(store_section(g->e.store, "batch", BUFFER_INPUTS, DTYPE_I32, &batch));
    TRY(store_section(g->e.store, "rows", BUFFER_INPUTS, DTYPE_F32, &rows));
    for (int i = 0; i < g->n_lengths; i++) {
        TRY(section_add(g->e.store, batch, "tokens", 2, (int64_t[]){1, g->lengths[i].T},
                        &g->lengths[i].tokens));
    }
    TRY(section_add(g->e.store, rows, "row", 2, (int64_t[]){1, C}, &g->row));
    TRY(section_add(g->e.store, rows, "logits", 2, (int64_t[]){1, Vp}, &g->logits));
    g->padded = calloc((size_t)T, sizeof *g->padded);
    g->host = malloc((size_t)(C > Vp ? C : Vp) * sizeof *g->host);
    return g->padded == NULL || g->host == NULL ? no_memory() : OK;
}

static Status programs_record(Generator *g) {
    ForwardContext context = {.attention = &g->attention};
    for (int i = 0; i <= g->n_lengths; i++)
        TRY(program_create(g->e.device->target, false, &g->programs[i].program));
    for (int i = 0; i < g->n_lengths; i++) {
        Length *length = &g->lengths[i];
        length->x = model_forward(g->programs[i].program, g->e.model, length->tokens, &context);
    }
    linear_into(g->programs[g->n_lengths].program, g->logits, g->row, g->e.model->head->weight);
    return bound_programs_plan(g->programs, g->n_lengths + 1);
}

static Status programs_bind(Generator *g) {
    TRY(store_allocate(g->e.store, g->e.device));
    return bound_programs_bind(g->programs, g->n_lengths + 1, g->e.device, "activations");
}

/* Powers of two up to block_size, so that a short context is cheap. */
static void lengths_choose(Generator *g, int64_t block) {
    for (int64_t T = 32; T < block && g->n_lengths < MAX_LENGTHS - 1; T *= 2)
        g->lengths[g->n_lengths++].T = T;
    g->lengths[g->n_lengths++].T = block;
}

static Status model_build(Generator *g) {
    Experiment *e = &g->e;
    ModelConfig model = experiment_model_config(e->config, e->config->model.V);
    if (device_count_cuda() > 0 && e->config->device != CONFIG_DEVICE_CPU)
        TRY(device_open_cuda(0, &e->device));
    else
        TRY(device_open_cpu((int)e->config->threads, &e->device));
    TRY(store_create(&e->store));
    TRY(parameters_create(e->store, DTYPE_F32, false, &e->parameters));
    TRY(model_create(&model, e->parameters, &e->model));
    lengths_choose(g, model.T);
    TRY(tensors_create(g, model.T, model.C, model.Vp));
    TRY(programs_record(g));
    return programs_bind(g);
}

static Status generator_load(Generator *g, const CheckpointFile *file) {
    char *text = NULL;
    TRY(checkpoint_read_text(file, "config", &g->arena, &text));
    TRY(config_load_text(text, checkpoint_path(file), 0, NULL, &g->config));
    experiment_configure(&g->e, g->config);
    TRY(tokenizer_pick(g, file));
    TRY(model_build(g));
    return state_load_weights(&g->e, file, &g->arena);
}

Status generator_create(const char *path, Generator **out) {
    *out = calloc(1, sizeof **out);
    if (*out == NULL) return no_memory();
    CheckpointFile *file = NULL;
    const char *warnings = "";
    TRY(run_checkpoint_open(path, &(*out)->arena, &file, &warnings));
    status_warn("generate", warnings);
    Status status = generator_load(*out, file);
    checkpoint_close(&file);
    return status;
}

void generator_destroy(Generator **generator) {
    if (generator == NULL || *generator == NULL) return;
    Generator *g = *generator;
    bound_programs_destroy(g->programs, MAX_LENGTHS + 1);
    tokenizer_destroy(&g->tokenizer);
    free(g->padded);
    free(g->host);
    experiment_destroy(&g->e);
    config_destroy(&g->config);
    arena_free(&g->arena);
    free(g);
    *generator = NULL;
}

Tokenizer *generator_tokenizer(const Generator *g) { return g->tokenizer; }

int64_t generator_vocab_size(const Generator *g) { return g->e.config->model.V; }

static const Length *length_for(const Generator *g, int64_t n) {
    int i = 0;
    while (g->lengths[i].T < n) i++;
    return &g->lengths[i];
}

Status generator_logits(Generator *g, const int32_t *context, int64_t n, float *logits) {
    int64_t block = g->e.config->model.T, V = g->e.config->model.V;
    int64_t seen = n < block ? n : block;
    const Length *length = length_for(g, seen);
    memset(g->padded, 0, (size_t)length->T * sizeof *g->padded);
    memcpy(g->padded, context + (n - seen), (size_t)seen * sizeof *context);
    TRY(device_upload(g->e.device, length->tokens, g->padded));
    TRY(device_replay(g->e.device, g->programs[length - g->lengths].program));
    Tensor last = *length->x; /* the row of the last real token */
    last.n_dims = 2;
    last.shape[0] = 1;
    last.shape[1] = tensor_columns(length->x);
    last.offset += (size_t)((seen - 1) * last.shape[1]) * sizeof(float);
    TRY(device_download(g->e.device, g->host, &last));
    TRY(device_upload(g->e.device, g->row, g->host));
    TRY(device_replay(g->e.device, g->programs[g->n_lengths].program));
    TRY(device_download(g->e.device, g->host, g->logits));
    double cap = g->e.config->model.logit_softcap;
    for (int64_t v = 0; v < V; v++)
        logits[v] = cap == 0 ? g->host[v] : (float)(cap * tanh((double)g->host[v] / cap));
    return OK;
}

static int descending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* The k-th largest element of x; sorts x. */
static float kth_largest(float *x, int64_t n, int64_t k) {
    qsort(x, (size_t)n, sizeof *x, descending);
    return x[k - 1];
}

static int32_t likeliest(const float *logits, int64_t V) {
    int64_t best = 0;
    for (int64_t v = 1; v < V; v++) best = logits[v] > logits[best] ? v : best;
    return (int32_t)best;
}

/* The smallest logit of the top_k. */
static Status floor_find(const Sampling *sampling, const float *logits, int64_t V, float *floor) {
    *floor = -INFINITY;
    if (sampling->top_k <= 0 || sampling->top_k >= V) return OK;
    float *sorted = malloc((size_t)V * sizeof *sorted);
    if (sorted == NULL) return ERROR(STATUS_NO_ROOM, "out of memory for logits");
    memcpy(sorted, logits, (size_t)V * sizeof *sorted);
    *floor = kth_largest(sorted, V, sampling->top_k);
    free(sorted);
    return OK;
}

static bool is_distribution(const float *logits, int64_t V, int32_t best) {
    for (int64_t v = 0; v < V; v++) {
        if (isnan(logits[v])) return false;
    }
    return isfinite(logits[best]);
}

/* Returns `best` if rounding leaves no other choice. */
static int32_t weighted_draw(const float *weights, int64_t V, double wanted, int32_t best) {
    for (int64_t v = 0; v < V; v++) {
        wanted -= (double)weights[v];
        if (wanted < 0) return (int32_t)v;
    }
    return best;
}

Status sampling_draw(const Sampling *sampling, uint64_t index, float *logits, int64_t V,
                     int32_t *token) {
    int32_t best = *token = likeliest(logits, V);
    if (!is_distribution(logits, V, best)) {
        return ERROR(STATUS_FAILURE,
                     "the model's logits are not finite, so that no token follows; its weights are "
                     "broken: take an earlier checkpoint");
    }
    if (sampling->temperature <= 0) return OK;
    float floor, top = logits[best];
    TRY(floor_find(sampling, logits, V, &floor));
    double sum = 0;
    for (int64_t v = 0; v < V; v++) {
        logits[v] =
            logits[v] < floor ? 0 : (float)exp((double)(logits[v] - top) / sampling->temperature);
        sum += (double)logits[v];
    }
    double drawn = (double)rng_uniform(philox(sampling->seed, index, 0).word[0]);
    *token = weighted_draw(logits, V, drawn * sum, best);
    return OK;
}
