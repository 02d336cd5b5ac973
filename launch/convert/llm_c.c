#include "core/base/checked.h"
#include "core/base/file.h"
#include "launch/convert/formats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    HEADER_INTS = 256,
    MAGIC = 20240326,
    VERSION_F32 = 3,
    VERSION_BF16 = 5,
    PADDING = 128,
    PIECE = 1 << 16
};

/* The file's order: each line is an array over all blocks, but for those that no block has. */
static const char *const order[] = {
    "wte.weight",         "wpe.weight",       "ln_1.weight",        "ln_1.bias",
    "attn.c_attn.weight", "attn.c_attn.bias", "attn.c_proj.weight", "attn.c_proj.bias",
    "ln_2.weight",        "ln_2.bias",        "mlp.c_fc.weight",    "mlp.c_fc.bias",
    "mlp.c_proj.weight",  "mlp.c_proj.bias",  "ln_f.weight",        "ln_f.bias"};

typedef Status (*VisitFn)(void *context, ModelTensor *tensor);

/* Every tensor in the file's order. */
static Status visit(const Model *m, VisitFn fn, void *context) {
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        ModelTensor *alone = model_find(m, order[i]);
        for (int64_t block = 0; block < (alone == NULL ? m->size.L : 1); block++) {
            char name[64];
            snprintf(name, sizeof name, "h.%lld.%s", (long long)block, order[i]);
            TRY(fn(context, alone != NULL ? alone : model_find(m, name)));
        }
    }
    return OK;
}

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct Source {
    const char *path;
    InputFile file;
    uint64_t at; /* of the next bytes */
    int32_t header[HEADER_INTS];
    ModelSize size;
    int64_t Vp;
    DType dtype;
} Source;

static Status header_read(Source *s) {
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
    s->size = (ModelSize){.T = h[2], .V = h[3], .L = h[4], .NH = h[5], .C = h[6]};
    s->Vp = h[7];
    if (s->Vp >= s->size.V && s->size.V > 0 && s->size.T > 0 && s->size.L > 0 && s->size.C > 0)
        return OK;
    return ERROR(STATUS_DATA, "%s: its header has sizes that no model has", s->path);
}

/* Before memory is taken for what a header claims. Elements: (Vp + T) C + L (12 C^2 + 13 C) + 2
 * C. */
static Status length_check(const Source *s) {
    int64_t C = s->size.C, embedding, square, blocks, elements;
    bool fits = checked_mul_i64(s->Vp + s->size.T + 2, C, &embedding) &&
                checked_mul_i64(12 * C + 13, C, &square) &&
                checked_mul_i64(square, s->size.L, &blocks) &&
                !__builtin_add_overflow(embedding, blocks, &elements) &&
                checked_mul_i64(elements, (int64_t)dtype_size(s->dtype), &elements);
    if (fits && s->file.bytes == (uint64_t)elements + sizeof s->header) return OK;
    return ERROR(STATUS_DATA, "%s: %llu bytes are not what its header asks for; is it cut?",
                 s->path, (unsigned long long)s->file.bytes);
}

static Status tensor_read(void *context, ModelTensor *t) {
    Source *s = context;
    uint64_t size = dtype_size(s->dtype);
    TRY(input_values(&s->file, t->name, s->at, s->dtype, tensor_elements(t), t->data));
    s->at += (uint64_t)tensor_elements(t) * size;
    TRY(values_check_finite(s->path, t->name, t->data, tensor_elements(t),
                            t->n_dims == 2 ? t->shape[1] : 0));
    if (strcmp(t->name, "wte.weight") == 0)
        s->at += (uint64_t)((s->Vp - s->size.V) * s->size.C) * size;
    return OK;
}

Status llm_c_read(const char *path, Model **out) {
    Source source = {.path = path, .at = sizeof source.header};
    *out = NULL;
    TRY(input_open(path, &source.file));
    Status status = header_read(&source);
    if (!failed(status)) status = length_check(&source);
    if (!failed(status)) status = model_create(path, source.size, out);
    if (!failed(status)) status = model_allocate(*out, path);
    if (!failed(status)) status = visit(*out, tensor_read, &source);
    input_close(&source.file);
    if (failed(status)) model_destroy(out);
    return status;
}

/* ---- writing --------------------------------------------------------------------------------- */

typedef struct Target {
    Output output;
    DType dtype;
    int64_t padding; /* elements behind wte */
} Target;

static Status tensor_write(void *context, ModelTensor *t) {
    static const float zeros[PIECE];
    Target *target = context;
    TRY(output_values(&target->output, t->data, tensor_elements(t), target->dtype));
    if (strcmp(t->name, "wte.weight") != 0) return OK;
    for (int64_t left = target->padding; left > 0; left -= PIECE) {
        TRY(output_values(&target->output, zeros, left < PIECE ? left : PIECE, target->dtype));
    }
    return OK;
}

Status llm_c_write(const Model *model, const char *path, DType dtype) {
    ModelSize s = model->size;
    int64_t Vp = (s.V + PADDING - 1) / PADDING * PADDING;
    Target target = {.dtype = dtype, .padding = (Vp - s.V) * s.C};
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
