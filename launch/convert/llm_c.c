#include "core/base/checked.h"
#include "core/base/file.h"
#include "launch/convert/formats.h"
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

/* Every tensor in the order of the file: each parameter of the family, over all blocks. */
static Status visit(const ModelWeights *m, VisitFn fn, void *context) {
    const ModelFamily *family = m->family;
    for (int i = 0; i < family->n_parameters; i++) {
        const char *pattern = family->parameters[i].name;
        int64_t count = strchr(pattern, '#') == NULL ? 1 : m->config.L;
        for (int64_t block = 0; block < count; block++) {
            char name[64];
            model_name_expand(pattern, block, name, sizeof name);
            TRY(fn(context, model_weights_find(m, name)));
        }
    }
    return OK;
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
    s->config = (ModelConfig){.T = h[2], .V = h[3], .L = h[4], .NH = h[5], .C = h[6]};
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
        int64_t rows = tensor_has_vocabulary(t) ? s->Vp : t->shape[0];
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
    if (tensor_has_vocabulary(t)) s->at += (uint64_t)((s->Vp - s->config.V) * t->shape[1]) * size;
    return OK;
}

Status llm_c_read(const char *path, ModelWeights **out) {
    LlmcSource source = {.path = path, .at = sizeof source.header};
    *out = NULL;
    TRY(input_open(path, &source.file));
    Status status = header_read(&source);
    if (!failed(status)) status = blocks_check(&source);
    if (!failed(status)) status = model_weights_create(path, &gpt2_family, &source.config, out);
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
    if (!tensor_has_vocabulary(t)) return OK;
    for (int64_t left = target->padding * t->shape[1]; left > 0; left -= BLOCK) {
        TRY(output_values(&target->output, zeros, left < BLOCK ? left : BLOCK, target->dtype));
    }
    return OK;
}

Status llm_c_write(const ModelWeights *model, const char *path, DType dtype) {
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
