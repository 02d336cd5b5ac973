#include "launch/generate/generator.h"

#include "data/token_text.h"
#include "launch/config/config_load.h"
#include "launch/run/run_checkpoint.h"
#include "launch/run/state.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_ROWS = 64 };

struct Generator {
    Config *config; /* e's */
    Experiment e;
    CheckpointFile *file;
    Arena arena;
    Tokenizer *tokenizer;
    DType dtype;
    int64_t B, capacity;
    Decoder *decoder;
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
    int64_t fit = left / row < MOST_ROWS ? (int64_t)(left / row) : MOST_ROWS,
            most = fit > 1 ? fit : 1;
    int64_t batches = (wanted + most - 1) / most;
    g->B = (wanted + batches - 1) / batches;
    return OK;
}

Status generator_prepare(Generator *g, const GeneratorOptions *options) {
    int64_t block = g->config->model.T;
    g->capacity = options->tokens < block ? options->tokens : block;
    TRY(device_choose(g, options->dtype));
    TRY(model_build(g));
    TRY(rows_choose(g, options->rows));
    TRY(decoder_create(g->e.store, g->e.model, g->dtype, g->B, g->capacity, &g->decoder));
    TRY(decoder_record(g->decoder, g->e.device->target));
    TRY(store_allocate(g->e.store, g->e.device));
    TRY(decoder_bind(g->decoder, g->e.device));
    TRY(state_load_weights(&g->e, g->file, &g->arena));
    checkpoint_close(&g->file);
    return OK;
}

void generator_destroy(Generator **generator) {
    if (generator == NULL || *generator == NULL) return;
    Generator *g = *generator;
    checkpoint_close(&g->file);
    decoder_destroy(&g->decoder);
    tokenizer_destroy(&g->tokenizer);
    experiment_destroy(&g->e);
    config_destroy(&g->config);
    arena_free(&g->arena);
    free(g);
    *generator = NULL;
}

Tokenizer *generator_tokenizer(const Generator *g) { return g->tokenizer; }
int64_t generator_vocab_size(const Generator *g) { return g->e.config->model.V; }
Decoder *generator_decoder(const Generator *g) { return g->decoder; }
int64_t generator_rows(const Generator *g) { return g->B; }

GeneratorMemory generator_memory(const Generator *g) {
    return (GeneratorMemory){.weights = tensor_bytes(g->e.parameters->weights->flat),
                             .cache = decoder_cache_bytes(g->decoder),
                             .activations = decoder_arena_bytes(g->decoder)};
}
