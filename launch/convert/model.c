#include "launch/convert/model.h"

#include "core/base/checked.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST = 1 << 24, MOST_BLOCKS = 1 << 16, TENSORS_A_BLOCK = 12 };

static Status size_check(const char *origin, ModelSize s) {
    const int64_t all[] = {s.V, s.T, s.L, s.NH, s.C};
    for (int i = 0; i < 5; i++) {
        if (all[i] >= 1 && all[i] <= (i == 2 ? MOST_BLOCKS : LARGEST)) continue;
        return ERROR(
            STATUS_DATA,
            "%s: no GPT-2: vocabulary %lld, positions %lld, blocks %lld, heads %lld, channels %lld",
            origin, (long long)s.V, (long long)s.T, (long long)s.L, (long long)s.NH,
            (long long)s.C);
    }
    if (s.C % s.NH == 0) return OK;
    return ERROR(STATUS_DATA, "%s: %lld channels cannot be shared by %lld heads; set --heads",
                 origin, (long long)s.C, (long long)s.NH);
}

static void add(Model *m, const char *name, int64_t rows, int64_t columns, bool is_linear) {
    m->tensors[m->count++] = (ModelTensor){.name = name,
                                           .n_dims = columns > 0 ? 2 : 1,
                                           .shape = {rows, columns},
                                           .is_linear = is_linear};
}

/* A layer's weight and bias; a layernorm where K is 0. */
static void add_layer(Model *m, const char *name, int64_t N, int64_t K) {
    add(m, arena_printf(&m->arena, "%s.weight", name), N, K, K > 0);
    add(m, arena_printf(&m->arena, "%s.bias", name), N, 0, false);
}

static void add_block(Model *m, int64_t index, int64_t C) {
    const struct {
        const char *name;
        int64_t N, K;
    } layers[] = {{"ln_1", C, 0}, {"attn.c_attn", 3 * C, C}, {"attn.c_proj", C, C},
                  {"ln_2", C, 0}, {"mlp.c_fc", 4 * C, C},    {"mlp.c_proj", C, 4 * C}};
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        const char *name = arena_printf(&m->arena, "h.%lld.%s", (long long)index, layers[i].name);
        add_layer(m, name == NULL ? "" : name, layers[i].N, layers[i].K);
    }
}

static Status index_tensors(Model *m, const char *origin) {
    for (int i = 0; i < m->count; i++) {
        const char *name = m->tensors[i].name;
        void **place = name == NULL ? NULL : names_add(&m->names, &m->arena, name);
        if (place == NULL)
            return ERROR(STATUS_NO_ROOM, "%s: out of memory for its list of tensors", origin);
        *place = &m->tensors[i];
    }
    return OK;
}

static Status build(Model *m, const char *origin) {
    ModelSize s = m->size;
    TRY(size_check(origin, s));
    m->tensors = arena_alloc(&m->arena, ((size_t)s.L * TENSORS_A_BLOCK + 4) * sizeof *m->tensors);
    if (m->tensors == NULL)
        return ERROR(STATUS_NO_ROOM, "%s: out of memory for its list of tensors", origin);
    add(m, "wte.weight", s.V, s.C, false);
    add(m, "wpe.weight", s.T, s.C, false);
    for (int64_t i = 0; i < s.L; i++) add_block(m, i, s.C);
    add_layer(m, "ln_f", s.C, 0);
    return index_tensors(m, origin);
}

Status model_create(const char *origin, ModelSize size, Model **out) {
    Model *model = *out = calloc(1, sizeof *model);
    if (model == NULL) return ERROR(STATUS_NO_ROOM, "%s: out of memory for its weights", origin);
    model->size = size;
    Status status = build(model, origin);
    if (failed(status)) model_destroy(out);
    return status;
}

Status model_allocate(Model *model, const char *origin) {
    for (int i = 0; i < model->count; i++) {
        ModelTensor *t = &model->tensors[i];
        size_t bytes = sizeof *t->data;
        bool fits = true;
        for (int d = 0; d < t->n_dims; d++)
            fits = fits && checked_mul(bytes, (size_t)t->shape[d], &bytes);
        t->data = fits ? arena_alloc(&model->arena, bytes) : NULL;
        if (t->data == NULL)
            return ERROR(STATUS_NO_ROOM, "%s: out of memory for its weights", origin);
    }
    return OK;
}

void model_destroy(Model **model) {
    if (model == NULL || *model == NULL) return;
    arena_free(&(*model)->arena);
    free(*model);
    *model = NULL;
}

ModelTensor *model_find(const Model *model, const char *name) {
    void **place = names_find(&model->names, name, strlen(name));
    return place == NULL ? NULL : *place;
}

int64_t tensor_elements(const ModelTensor *tensor) {
    return tensor->n_dims == 2 ? tensor->shape[0] * tensor->shape[1] : tensor->shape[0];
}

/* ---- values ---------------------------------------------------------------------------------- */

static float f32_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Subnormal halves are multiples of 2^-24. */
static float f32_of_f16(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31,
             fraction = half & 1023;
    if (exponent == 0) return (sign != 0 ? -1.0F : 1.0F) * (float)fraction * 0x1p-24F;
    return f32_of_bits(sign | (exponent == 31 ? 255 : exponent + 112) << 23 | fraction << 13);
}

bool values_to_f32(const void *from, DType dtype, int64_t n, float *to) {
    const unsigned char *bytes = from;
    size_t size = dtype == DTYPE_F64 ? 8 : dtype == DTYPE_F32 ? 4 : 2;
    if (dtype != DTYPE_F64 && dtype != DTYPE_F32 && dtype != DTYPE_F16 && dtype != DTYPE_BF16)
        return false;
    for (int64_t i = 0; i < n; i++, bytes += size) {
        uint16_t half = 0;
        double wide = 0;
        if (dtype == DTYPE_F32)
            memcpy(&to[i], bytes, sizeof *to);
        else
            memcpy(dtype == DTYPE_F64 ? (void *)&wide : (void *)&half, bytes, size);
        if (dtype == DTYPE_F64) to[i] = (float)wide;
        if (dtype == DTYPE_F16) to[i] = f32_of_f16(half);
        if (dtype == DTYPE_BF16) to[i] = f32_of_bits((uint32_t)half << 16);
    }
    return true;
}

/* A NaN stays one, and quiet. */
static uint16_t bf16_of_f32(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

bool values_from_f32(const float *from, DType dtype, int64_t n, void *to) {
    uint16_t *halves = to;
    if (dtype == DTYPE_F32) memcpy(to, from, (size_t)n * sizeof *from);
    for (int64_t i = 0; dtype == DTYPE_BF16 && i < n; i++) halves[i] = bf16_of_f32(from[i]);
    return dtype == DTYPE_F32 || dtype == DTYPE_BF16;
}

Status values_check_finite(const char *path, const char *tensor, const float *values, int64_t n,
                           int64_t columns) {
    char place[64];
    int64_t i = 0;
    while (i < n && isfinite(values[i])) i++;
    if (i == n) return OK;
    if (columns > 0)
        snprintf(place, sizeof place, "%lld, %lld", (long long)(i / columns),
                 (long long)(i % columns));
    if (columns == 0) snprintf(place, sizeof place, "%lld", (long long)i);
    return ERROR(STATUS_DATA,
                 "%s: tensor '%.100s' is %s at [%s]; weights are finite: take another copy, or an "
                 "earlier checkpoint",
                 path, tensor,
                 isnan(values[i]) ? "nan"
                 : values[i] > 0  ? "inf"
                                  : "-inf",
                 place);
}

void values_transpose(const float *from, int64_t rows, int64_t columns, float *to) {
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < columns; j++) to[j * rows + i] = from[i * columns + j];
    }
}
