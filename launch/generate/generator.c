#include "launch/generate/generator.h"

#include "core/base/escape.h"
#include "data/token_text.h"
#include "launch/config/config_load.h"
#include "launch/convert/model_source.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_ROWS = 64 };

struct Generator {
    Config *config; /* e's */
    Experiment e;
    ModelSource source; /* until the weights are loaded */
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
static Status tokenizer_check(const Generator *g, TokenizerId id) {
    TokenizerId found = {tokenizer_name(g->tokenizer), tokenizer_hash(g->tokenizer)};
    if (tokenizer_ids_agree((TokenizerId){"", id.hash}, found)) return OK;
    return ERROR(STATUS_DATA, "%s: its tokenizer %s has changed since; restore that file",
                 g->source.path, id.name);
}

static Status tokenizer_pick(Generator *g) {
    TokenizerId id;
    int64_t V = g->e.config->model.V;
    TRY(model_source_tokenizer(&g->source, &id));
    const char *name = tokenizer_assumed(id.name, V);
    if (!tokenizer_is_named(name)) {
        return ERROR(STATUS_DATA,
                     "%s: weights of %lld tokens with an unknown tokenizer; copy its "
                     "tokenizer.json beside weights of Hugging Face, or train on from them with "
                     "data of ./prepare, whose tokenizer the next checkpoint names",
                     g->source.path, (long long)V);
    }
    if (id.name[0] == '\0')
        escape_say(stderr, "generate: note: %s names no tokenizer; GPT-2's is assumed",
                   g->source.path);
    TRY(tokenizer_open(name, &g->tokenizer));
    TRY(tokenizer_check(g, id));
    if (tokenizer_vocab_size(g->tokenizer) <= V) return OK;
    return ERROR(STATUS_DATA, "%s: the model knows %lld tokens, the tokenizer %s has %lld",
                 g->source.path, (long long)V, name, (long long)tokenizer_vocab_size(g->tokenizer));
}

Status generator_open(const char *path, Generator **out) {
    Generator *g = *out = calloc(1, sizeof **out);
    if (g == NULL) return no_memory();
    TRY(model_source_open(path, "generate", &g->source));
    TRY(model_source_config(&g->source, 0, NULL, &g->config, NULL, 0));
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
    TRY(store_create(&e->recorded.store));
    TRY(parameters_create(e->recorded.store, g->dtype, false, &e->recorded.parameters));
    return model_create(&model, e->recorded.parameters, &e->recorded.model);
}

static Status rows_choose(Generator *g, int64_t wanted) {
    size_t row = kv_cache_row_bytes(&g->e.recorded.model->config, g->dtype, g->capacity),
           free_bytes, total, weights = store_bytes(g->e.recorded.store);
    TRY(device_memory(g->e.device, &free_bytes, &total));
    size_t left = free_bytes > weights ? (free_bytes - weights) / 2 : 0;
    int64_t fit = left / row < MOST_ROWS ? (int64_t)(left / row) : MOST_ROWS,
            most = fit > 1 ? fit : 1;
    int64_t batches = (wanted + most - 1) / most;
    g->B = (wanted + batches - 1) / batches;
    return OK;
}

static void documents_hide(Generator *g) {
    int64_t end = g->config->data.end_of_text;
    if (!g->config->attention.document_mask) return;
    if (end == CONFIG_AUTO) end = tokenizer_end_of_text(g->tokenizer);
    decoder_hide_documents(g->decoder, (int32_t)end);
}

Status generator_prepare(Generator *g, const GeneratorOptions *options) {
    int64_t block = g->config->model.T;
    g->capacity = options->tokens < block ? options->tokens : block;
    TRY(device_choose(g, options->dtype));
    TRY(model_build(g));
    TRY(rows_choose(g, options->rows));
    TRY(decoder_create(g->e.recorded.store, g->e.recorded.model, g->dtype, g->B, g->capacity,
                       &g->decoder));
    documents_hide(g);
    TRY(decoder_record(g->decoder, g->e.device->target));
    TRY(store_allocate(g->e.recorded.store, g->e.device));
    TRY(decoder_bind(g->decoder, g->e.device));
    TRY(model_source_load(&g->source, &g->e));
    model_source_close(&g->source);
    return OK;
}

void generator_destroy(Generator **generator) {
    if (generator == NULL || *generator == NULL) return;
    Generator *g = *generator;
    model_source_close(&g->source);
    decoder_destroy(&g->decoder);
    tokenizer_destroy(&g->tokenizer);
    experiment_destroy(&g->e);
    config_destroy(&g->config);
    free(g);
    *generator = NULL;
}

Tokenizer *generator_tokenizer(const Generator *g) { return g->tokenizer; }
int64_t generator_vocab_size(const Generator *g) { return g->e.config->model.V; }
Decoder *generator_decoder(const Generator *g) { return g->decoder; }
int64_t generator_rows(const Generator *g) { return g->B; }

GeneratorMemory generator_memory(const Generator *g) {
    return (GeneratorMemory){.weights = tensor_bytes(g->e.recorded.parameters->weights->flat),
                             .cache = decoder_cache_bytes(g->decoder),
                             .activations = decoder_arena_bytes(g->decoder)};
}
