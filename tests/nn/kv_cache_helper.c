#include "tests/nn/kv_cache_helper.h"

#include "core/ops/linear.h"
#include "core/rng.h"

#include <math.h>
#include <stdlib.h>

#define LLAMA                                                                                      \
    .norm = MODEL_RMSNORM, .norm_eps = 1e-5, .rope = ROPE_OPTIONS_DEFAULTS, .F = 24, .NH = 4,      \
    .embedding_std = 0.02, .linear_std = 0.02
#define LLAMA_TIED LLAMA, .norm_weight = true, .tie_embeddings = true, .mlp = MLP_SWIGLU, .NH_kv = 2
#define ROPE .position = POSITION_ROPE

const CachedCase cached_cases[] = {
    {"gpt2", {MODEL_CONFIG_DEFAULTS, .NH = 4}},
    {"llama", {LLAMA_TIED, ROPE}},
    {"qwen3", {LLAMA_TIED, ROPE, .qk_norm = true, .qk_norm_weight = true, .HS = 64}},
    {"mistral", {LLAMA_TIED, ROPE, .window = {1, {5}}}},
    {"modern",
     {LLAMA, ROPE, .mlp = MLP_RELU2, .NH_kv = 4, .qk_norm = true, .attention_scale = 0.3,
      .embedding_norm = true, .residual_scalars = true, .value_embeddings = {2, {0, 1}},
      .window = {2, {4, 0}}}},
    {"short convolutions", {LLAMA_TIED, ROPE, .short_conv = {3, 2, 4}}},
    {"a parallel short convolution",
     {LLAMA_TIED, ROPE, .short_conv = {[CONV_MLP] = 2}, .block = BLOCK_PARALLEL}},
    {"parallel, without positions",
     {LLAMA_TIED, .position = POSITION_NONE, .block = BLOCK_PARALLEL}},
};
const int n_cached_cases = sizeof cached_cases / sizeof *cached_cases;

static int32_t token_at(int64_t b, int64_t t) {
    return (int32_t)((b * 11 + t * 7 + (t * t + b) % 5) % V);
}

static Status tensors_create(CachedModel *m) {
    const ModelConfig *config = &m->model->config;
    Section *integers, *reals;
    TRY(store_section(m->store, "integers", BUFFER_INPUTS, DTYPE_I32, &integers));
    TRY(store_section(m->store, "logits", BUFFER_INPUTS, DTYPE_F32, &reals));
    TRY(section_add(m->store, integers, "text", 2, (int64_t[]){B, T}, &m->tokens));
    TRY(section_add(m->store, reals, "whole", 3, (int64_t[]){B, T, VP}, &m->whole));
    TRY(section_add(m->store, reals, "logits", 3, (int64_t[]){B, 1, VP}, &m->logits));
    TRY(kv_cache_create(m->store, config, m->dtype, B, T, &m->cache));
    TRY(kv_tokens_create(m->store, m->cache, CHUNK, &m->chunk));
    m->host_whole = calloc(B * T * VP, sizeof(float));
    m->host_logits = calloc(B * VP, sizeof(float));
    if (m->host_whole == NULL || m->host_logits == NULL) return OUT_OF_MEMORY("logits");
    return kv_tokens_create(m->store, m->cache, 1, &m->next);
}

static Status programs_create(CachedModel *m) {
    ForwardContext contexts[PROGRAMS] = {
        {.attention = &m->attention},
        {.attention = &m->attention, .cached = &m->chunk},
        {.attention = &m->attention, .cached = &m->next},
    };
    Tensor *inputs[] = {m->tokens, m->chunk.tokens, m->next.tokens};
    Tensor *outputs[] = {m->whole, NULL, m->logits};
    for (int i = 0; i < PROGRAMS; i++) {
        TRY(program_create(m->device->target, false, &m->programs[i].program));
        Program *p = m->programs[i].program;
        Tensor *x = model_forward(p, m->model, inputs[i], &contexts[i]);
        if (outputs[i] != NULL) linear_into(p, outputs[i], x, m->model->head->weight);
    }
    TRY(bound_programs_plan(m->programs, PROGRAMS));
    TRY(store_allocate(m->store, m->device));
    return bound_programs_bind(m->programs, PROGRAMS, m->device, "activations");
}

static Status weight_set(const CachedModel *m, int index) {
    const Parameter *parameter = m->parameters->list[index];
    int64_t count = tensor_count(parameter->weight);
    double mean = parameter->n_dims == 1 ? 1 : 0;
    float *values = malloc((size_t)count * sizeof *values);
    if (values == NULL) return OUT_OF_MEMORY("weights");
    for (int64_t i = 0; i < count; i++) {
        uint64_t place = ((uint64_t)index << 32) + (uint64_t)i;
        double uniform = (double)rng_uniform(philox(7, place, 0).word[0]);
        double width = parameter->n_dims == 1 ? 0.9 : 4 / sqrt((double)parameter->shape[1]);
        values[i] = (float)(mean + (uniform - 0.5) * width);
    }
    Status status = parameters_write(m->parameters, m->device, STATE_WEIGHTS, index, values);
    free(values);
    return status;
}

Status cached_open(ModelConfig config, int64_t C, Device *device, DType dtype, CachedModel *m) {
    *m = (CachedModel){.device = device, .dtype = dtype};
    config.V = V, config.Vp = VP, config.T = T, config.L = 3, config.C = C;
    TRY(store_create(&m->store));
    TRY(parameters_create(m->store, dtype, false, &m->parameters));
    TRY(model_create(&config, m->parameters, &m->model));
    TRY(tensors_create(m));
    TRY(programs_create(m));
    for (int i = 0; i < m->parameters->count; i++) TRY(weight_set(m, i));
    return OK;
}

void cached_close(CachedModel *m) {
    bound_programs_destroy(m->programs, PROGRAMS);
    kv_cache_destroy(&m->cache);
    model_destroy(&m->model);
    parameters_destroy(&m->parameters);
    store_destroy(&m->store);
    free(m->host_whole);
    free(m->host_logits);
}

Status cached_run_whole(CachedModel *m) {
    int32_t text[B * T];
    for (int64_t i = 0; i < B * T; i++) text[i] = token_at(i / T, i % T);
    TRY(device_upload(m->device, m->tokens, text));
    TRY(device_replay(m->device, m->programs[WHOLE].program));
    return device_download(m->device, m->host_whole, m->whole);
}

/* Tokens [first, first + real) of each row; the rest of the chunk is padding. */
static Status tokens_run(CachedModel *m, int program, int64_t first, int64_t real) {
    const KvTokens *tokens = program == CHUNKED ? &m->chunk : &m->next;
    int32_t values[B * CHUNK];
    for (int64_t i = 0; i < B * tokens->n; i++) {
        int64_t t = i % tokens->n;
        values[i] = t < real ? token_at(i / tokens->n, first + t) : V - 1;
    }
    TRY(kv_tokens_upload(tokens, m->device, values, first, real));
    TRY(device_replay(m->device, m->programs[program].program));
    return program == CHUNKED ? OK : device_download(m->device, m->host_logits, m->logits);
}

/* The largest difference of (B, V) logits, at the strides of a row, from those after token t. */
static double error_at(const float *logits, int64_t stride, const CachedModel *wanted, int64_t t) {
    double worst = 0, largest = 0;
    for (int64_t i = 0; i < B * V; i++) {
        double exact = (double)wanted->host_whole[(i / V * T + t) * VP + i % V],
               got = (double)logits[i / V * stride + i % V];
        worst = isnan(got) ? INFINITY : fmax(worst, fabs(got - exact));
        largest = fmax(largest, fabs(exact));
    }
    return worst / largest;
}

double cached_whole_error(const CachedModel *m, const CachedModel *wanted) {
    double worst = 0;
    for (int64_t t = 0; t < T; t++)
        worst = fmax(worst, error_at(m->host_whole + t * VP, T * VP, wanted, t));
    return worst;
}

Status cached_compare(CachedModel *m, const CachedModel *wanted, int64_t prompt, double *worst) {
    *worst = 0;
    for (int64_t t = 0; t < prompt; t += CHUNK)
        TRY(tokens_run(m, CHUNKED, t, prompt - t < CHUNK ? prompt - t : CHUNK));
    for (int64_t t = prompt; t < T; t++) {
        TRY(tokens_run(m, DECODED, t, 1));
        *worst = fmax(*worst, error_at(m->host_logits, VP, wanted, t));
    }
    return OK;
}
