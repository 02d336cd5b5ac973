#include "core/base/checked.h"
#include "core/base/file.h"
#include "launch/convert/formats.h"
#include "launch/convert/model_keys.h"
#include "nn/models/families.h"
#include "nn/models/gpt2.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    HEADER_INTS = 256,
    MAGIC = 20240326,
    VERSION_F32 = 3,
    VERSION_BF16 = 5,
    PADDING = 128,
    BLOCK = 1 << 16
};

typedef Status (*VisitFn)(void *context, ModelTensor *tensor);

/* Every tensor in the order of the file: each parameter of GPT-2, over all blocks. */
static Status visit(const ModelWeights *m, VisitFn fn, void *context) {
    for (const ParameterNames *names = gpt2_family.parameters; names->name != NULL; names++) {
        int64_t count = strchr(names->name, '#') == NULL ? 1 : m->config.L;
        for (int64_t block = 0; block < count; block++) {
            char name[64];
            model_name_expand(names->name, block, name, sizeof name);
            ModelTensor *tensor = model_weights_find(m, name);
            if (tensor != NULL) TRY(fn(context, tensor)); /* a tied lm_head is none */
        }
    }
    return OK;
}

/* The layers that the format implies. */
static ModelConfig model_of(int64_t V, int64_t T, int64_t L, int64_t NH, int64_t C) {
    return (ModelConfig){MODEL_CONFIG_DEFAULTS, .V = V, .T = T, .L = L, .NH = NH, .C = C};
}

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct LlmcSource {
    const char *path;
    InputFile file;
    uint64_t at; /* offset of the next bytes */
    int32_t header[HEADER_INTS];
    ModelConfig config;
    int64_t Vp;
    DType dtype;
} LlmcSource;

static Status header_read(LlmcSource *s) {
    if (s->file.bytes >= sizeof s->header)
        TRY(input_read(&s->file, s->header, sizeof s->header, 0));
    if (s->header[0] != MAGIC) {
        return ERROR(STATUS_DATA,
                     "%s: not a model of llm.c; token files are read by ./train as they are",
                     s->path);
    }
    const int32_t *h = s->header;
    if (h[1] != VERSION_F32 && h[1] != VERSION_BF16) {
        return ERROR(STATUS_DATA,
                     "%s: version %d of llm.c's models; 3 (f32) and 5 (bf16) are known", s->path,
                     h[1]);
    }
    s->dtype = h[1] == VERSION_F32 ? DTYPE_F32 : DTYPE_BF16;
    s->config = model_of(h[3], h[2], h[4], h[5], h[6]);
    s->Vp = h[7];
    if (s->Vp >= s->config.V && s->config.V > 0 && s->config.T > 0 && s->config.L > 0 &&
        s->config.C > 0)
        return OK;
    return ERROR(STATUS_DATA, "%s: its header has sizes that no model has", s->path);
}

static Status length_error(const LlmcSource *s) {
    return ERROR(STATUS_DATA, "%s: %llu bytes are not what its header asks for; is it cut?",
                 s->path, (unsigned long long)s->file.bytes);
}

/* Called before the tensors are listed: each block has at least a vector of C elements. */
static Status blocks_check(const LlmcSource *s) {
    int64_t least;
    bool fits = checked_mul_i64(s->config.L, s->config.C, &least) &&
                (uint64_t)least <= s->file.bytes / dtype_size(s->dtype);
    return fits ? OK : length_error(s);
}

/* Called before memory is allocated for the sizes of a header. */
static Status length_check(const LlmcSource *s, const ModelWeights *m) {
    int64_t elements = 0, count;
    bool fits = true;
    for (int i = 0; fits && i < m->count; i++) {
        const ModelTensor *t = &m->tensors[i];
        int64_t rows = t->has_vocabulary ? s->Vp : t->shape[0];
        fits = checked_mul_i64(rows, t->n_dims == 2 ? t->shape[1] : 1, &count) &&
               !__builtin_add_overflow(elements, count, &elements);
    }
    fits = fits && checked_mul_i64(elements, (int64_t)dtype_size(s->dtype), &elements);
    bool is_whole = fits && s->file.bytes == (uint64_t)elements + sizeof s->header;
    return is_whole ? OK : length_error(s);
}

static Status tensor_read(void *context, ModelTensor *t) {
    LlmcSource *s = context;
    uint64_t size = dtype_size(s->dtype);
    TRY(input_values(&s->file, t->name, s->at, s->dtype, tensor_elements(t), t->data));
    s->at += (uint64_t)tensor_elements(t) * size;
    TRY(values_check_finite(s->path, t->name, t->data, tensor_elements(t),
                            t->n_dims == 2 ? t->shape[1] : 0));
    if (t->has_vocabulary) s->at += (uint64_t)((s->Vp - s->config.V) * t->shape[1]) * size;
    return OK;
}

Status llm_c_read(const char *path, ModelWeights **out) {
    LlmcSource source = {.path = path, .at = sizeof source.header};
    *out = NULL;
    TRY(input_open(path, &source.file));
    Status status = header_read(&source);
    if (!failed(status)) status = blocks_check(&source);
    if (!failed(status)) status = model_weights_create(path, &source.config, out);
    if (!failed(status)) status = length_check(&source, *out);
    if (!failed(status)) status = model_weights_allocate(*out, path);
    if (!failed(status)) status = visit(*out, tensor_read, &source);
    input_close(&source.file);
    if (failed(status)) model_weights_destroy(out);
    return status;
}

/* ---- writing --------------------------------------------------------------------------------- */

typedef struct LlmcFile {
    Output output;
    DType dtype;
    int64_t padding; /* rows after the vocabulary */
} LlmcFile;

static Status tensor_write(void *context, ModelTensor *t) {
    static const float zeros[BLOCK];
    LlmcFile *target = context;
    TRY(output_values(&target->output, t->data, tensor_elements(t), target->dtype));
    if (!t->has_vocabulary) return OK;
    for (int64_t left = target->padding * t->shape[1]; left > 0; left -= BLOCK) {
        TRY(output_values(&target->output, zeros, left < BLOCK ? left : BLOCK, target->dtype));
    }
    return OK;
}

/* Biases of zeros are no difference. */
static Status layers_check(const char *path, const ModelConfig *model) {
    const char *key;
    ModelConfig plain = model_of(model->V, model->T, model->L, model->NH, model->C);
    ModelConfig biased = *model;
    biased.bias = true;
    biased.qkv_bias = QKV_BIAS_AUTO;
    if (model_keys_differing(&biased, &plain, &key) == 0) return OK;
    char *value = model_key_text(key, model);
    Status status = ERROR(STATUS_DATA, "%s: llm.c's files hold GPT-2 alone, but %s is %s", path,
                          key, value == NULL ? "?" : value);
    free(value);
    return status;
}

static Status file_write(const ModelWeights *model, const char *path, DType dtype) {
    ModelConfig s = model->config;
    int64_t Vp = (s.V + PADDING - 1) / PADDING * PADDING;
    LlmcFile target = {.dtype = dtype, .padding = Vp - s.V};
    int32_t header[HEADER_INTS] = {MAGIC,        dtype == DTYPE_F32 ? VERSION_F32 : VERSION_BF16,
                                   (int32_t)s.T, (int32_t)s.V,
                                   (int32_t)s.L, (int32_t)s.NH,
                                   (int32_t)s.C, (int32_t)Vp};
    TRY(output_open_new(path, &target.output));
    Status status = fwrite(header, sizeof header, 1, target.output.file) == 1
                        ? OK
                        : file_cannot_write(path, errno);
    if (!failed(status)) status = visit(model, tensor_write, &target);
    return output_finish(&target.output, status);
}

Status llm_c_write(const ModelWeights *model, const char *path, DType dtype) {
    ModelWeights *biased = NULL;
    if (dtype == DTYPE_F16)
        return ERROR(STATUS_USAGE, "%s: llm.c's files are float32 or bfloat16", path);
    TRY(layers_check(path, &model->config));
    if (model_has_biases(&model->config)) return file_write(model, path, dtype);
    TRY(model_weights_with_biases(path, model, &biased));
    Status status = file_write(biased, path, dtype);
    model_weights_destroy(&biased);
    return status;
}
