#include "launch/library/hourglass.h"

#include "launch/base/options.h"
#include "launch/generate/generator.h"
#include "nn/attention/standalone.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static HourglassCode code_of(Status status) { return (HourglassCode)status_exit_code(status.code); }

const char *hourglass_version(void) { return HOURGLASS_VERSION; }

const char *hourglass_message(void) { return status_message(); }

/* ---- a trained model ------------------------------------------------------------------------- */

struct HourglassModel {
    Generator *generator;
    bool has_text;
};

static Status model_open(const char *path, HourglassModel *model) {
    GeneratorOptions options = {.rows = 1, .tokens = INT64_MAX};
    TRY(generator_open(path, &model->generator));
    return generator_prepare(model->generator, &options);
}

HourglassCode hourglass_model_open(const char *path, HourglassModel **out) {
    *out = calloc(1, sizeof **out);
    Status status = *out == NULL ? OUT_OF_MEMORY("a model") : OK;
    if (!failed(status)) status = model_open(path, *out);
    if (failed(status)) hourglass_model_close(out);
    return code_of(status);
}

void hourglass_model_close(HourglassModel **model) {
    if (*model != NULL) generator_destroy(&(*model)->generator);
    free(*model);
    *model = NULL;
}

int64_t hourglass_model_vocab_size(const HourglassModel *model) {
    return generator_vocab_size(model->generator);
}

int32_t hourglass_model_end_of_text(const HourglassModel *model) {
    return tokenizer_end_of_text(generator_tokenizer(model->generator));
}

HourglassCode hourglass_model_encode(HourglassModel *model, const char *text, size_t bytes,
                                     int32_t *tokens, size_t capacity, size_t *count) {
    TokenBuffer buffer = {0};
    Status status = tokenizer_encode(generator_tokenizer(model->generator), text, bytes, &buffer);
    *count = failed(status) ? 0 : buffer.count;
    size_t kept = *count < capacity ? *count : capacity;
    if (kept > 0) memcpy(tokens, buffer.tokens, kept * sizeof *tokens);
    token_buffer_free(&buffer);
    return code_of(status);
}

HourglassCode hourglass_model_decode(const HourglassModel *model, int32_t token, const char **text,
                                     size_t *bytes) {
    const uint8_t *from = NULL;
    *bytes = 0;
    Status status = tokenizer_decode(generator_tokenizer(model->generator), token, &from, bytes);
    *text = (const char *)from;
    return code_of(status);
}

static Status token_check(const HourglassModel *model, int32_t token) {
    int64_t V = hourglass_model_vocab_size(model);
    if (token >= 0 && token < V) return OK;
    return ERROR(STATUS_USAGE, "token %d: the vocabulary has tokens 0 to %lld", (int)token,
                 (long long)V - 1);
}

static Status model_begin(HourglassModel *model, const int32_t *tokens, size_t count) {
    if (count == 0) return ERROR(STATUS_USAGE, "a text starts with a token; end of text is one");
    for (size_t i = 0; i < count; i++) TRY(token_check(model, tokens[i]));
    decoder_begin(generator_decoder(model->generator), tokens, (int64_t)count);
    model->has_text = true;
    return OK;
}

HourglassCode hourglass_model_begin(HourglassModel *model, const int32_t *tokens, size_t count) {
    return code_of(model_begin(model, tokens, count));
}

static Status text_check(const HourglassModel *model) {
    return model->has_text ? OK : ERROR(STATUS_USAGE, "call hourglass_model_begin first");
}

static Status model_logits(HourglassModel *model, float **logits) {
    TRY(text_check(model));
    return decoder_logits(generator_decoder(model->generator), logits);
}

HourglassCode hourglass_model_logits(HourglassModel *model, const float **logits) {
    float *out = NULL;
    Status status = model_logits(model, &out);
    *logits = out;
    return code_of(status);
}

static Status model_append(HourglassModel *model, int32_t token) {
    TRY(text_check(model));
    TRY(token_check(model, token));
    decoder_append(generator_decoder(model->generator), &token);
    return OK;
}

HourglassCode hourglass_model_append(HourglassModel *model, int32_t token) {
    return code_of(model_append(model, token));
}

/* ---- attention ------------------------------------------------------------------------------- */

struct HourglassAttention {
    Device *device;
    Sdpa *sdpa;
};

static AttentionCall call_of(const HourglassAttentionCall *c) {
    int64_t NH_kv = c->NH_kv == 0 ? c->NH : c->NH_kv;
    HeadLayout queries = attention_tokens(c->Tq, c->NH, c->HS),
               keys = attention_tokens(c->Tk, NH_kv, c->HS);
    return (AttentionCall){.B = c->B,
                           .NH = c->NH,
                           .NH_kv = NH_kv,
                           .Tq = c->Tq,
                           .Tk = c->Tk,
                           .HS = c->HS,
                           .dtype = DTYPE_F32,
                           .scale = c->scale == 0 ? 1 / sqrtf((float)c->HS) : c->scale,
                           .causal = (CausalMask)c->causal,
                           .window = c->window,
                           .softcap = c->softcap,
                           .training = c->needs_backward != 0,
                           .q = queries,
                           .k = keys,
                           .v = keys,
                           .out = queries};
}

static Status attention_open(const HourglassAttentionCall *call, int gpu,
                             HourglassAttention *attention) {
    AttentionCall wanted = call_of(call);
    KernelChoice any = {0};
    TRY(gpu != 0 ? device_open_cuda(0, &attention->device)
                 : device_open_cpu(0, &attention->device));
    return sdpa_create(attention->device, &wanted, &any, &attention->sdpa);
}

HourglassCode hourglass_attention_open(const HourglassAttentionCall *call, int gpu,
                                       HourglassAttention **out) {
    *out = calloc(1, sizeof **out);
    Status status = *out == NULL ? OUT_OF_MEMORY("an attention call") : OK;
    if (!failed(status)) status = attention_open(call, gpu, *out);
    if (failed(status)) hourglass_attention_close(out);
    return code_of(status);
}

void hourglass_attention_close(HourglassAttention **attention) {
    if (*attention != NULL) {
        sdpa_destroy(&(*attention)->sdpa);
        device_close(&(*attention)->device);
    }
    free(*attention);
    *attention = NULL;
}

const char *hourglass_attention_backend(const HourglassAttention *attention) {
    return attention->sdpa->backend->forward.name;
}

static Status attention_run(const HourglassAttention *attention, const float *q, const float *k,
                            const float *v, float *out) {
    Sdpa *sdpa = attention->sdpa;
    TRY(device_upload(attention->device, sdpa->q, q));
    TRY(device_upload(attention->device, sdpa->k, k));
    TRY(device_upload(attention->device, sdpa->v, v));
    TRY(sdpa_forward(sdpa));
    return device_download(attention->device, out, sdpa->out);
}

HourglassCode hourglass_attention_forward(HourglassAttention *attention, const float *q,
                                          const float *k, const float *v, float *out) {
    return code_of(attention_run(attention, q, k, v, out));
}

static Status attention_differentiate(const HourglassAttention *attention, const float *dout,
                                      float *dq, float *dk, float *dv) {
    Sdpa *sdpa = attention->sdpa;
    if (!sdpa->call.training)
        return ERROR(STATUS_CONFIG, "the call was opened without needs_backward");
    TRY(device_upload(attention->device, sdpa->dout, dout));
    TRY(sdpa_backward(sdpa));
    TRY(device_download(attention->device, dq, sdpa->dq));
    TRY(device_download(attention->device, dk, sdpa->dk));
    return device_download(attention->device, dv, sdpa->dv);
}

HourglassCode hourglass_attention_backward(HourglassAttention *attention, const float *dout,
                                           float *dq, float *dk, float *dv) {
    return code_of(attention_differentiate(attention, dout, dq, dk, dv));
}
