/* Each row of y, and of dh, is a sum of up to four rows, in one loop over the channels. */
#include "core/ops/short_conv.h"

#include "core/cpu/real.h"

DECLARE_KERNELS(short_conv);
DECLARE_KERNELS(short_conv_backward);
DECLARE_KERNELS(short_conv_cached);

typedef struct ConvRows {
    const stored *rows[SHORT_CONV_MOST_TAPS];
    int64_t count; /* at least 1 */
} ConvRows;

/* Inlined with a constant number of rows, so that the loop vectorizes. */
static inline void sum_of(stored *out, const ConvRows *x, int count, const stored *w, int64_t C,
                          bool accumulate) {
#pragma omp simd
    for (int64_t c = 0; c < C; c++) {
        real sum = (1 + load(w[c])) * load(x->rows[0][c]);
        for (int j = 1; j < count; j++) sum += load(w[j * C + c]) * load(x->rows[j][c]);
        out[c] = store(accumulate ? load(out[c]) + sum : sum);
    }
}

/* out = (1 + w[0]) rows[0] + sum of w[j] rows[j], or out += that. */
static void weighted_sum(stored *out, const ConvRows *x, const stored *w, int64_t C,
                         bool accumulate) {
    switch (x->count) {
    case 1: sum_of(out, x, 1, w, C, accumulate); break;
    case 2: sum_of(out, x, 2, w, C, accumulate); break;
    case 3: sum_of(out, x, 3, w, C, accumulate); break;
    default: sum_of(out, x, 4, w, C, accumulate);
    }
}

static int64_t at_most(int64_t count, int64_t most) { return count < most ? count : most; }

/* Row `row` of h and those before it. */
static ConvRows rows_before(const Tensor *h, const Tensor *documents, int64_t row, int64_t taps) {
    const int32_t *firsts = documents == NULL ? NULL : tensor_data(documents);
    int64_t C = tensor_columns(h), t = row % h->shape[1];
    ConvRows x = {.count = at_most(taps, t + 1 - (firsts == NULL ? 0 : firsts[row]))};
    for (int64_t j = 0; j < x.count; j++)
        x.rows[j] = (const stored *)tensor_data(h) + (row - j) * C;
    return x;
}

/* Row `row` of dy and those after it. */
static ConvRows rows_after(const Tensor *dy, const Tensor *documents, int64_t row, int64_t taps) {
    int64_t C = tensor_columns(dy), T = dy->shape[1], t = row % T;
    const int32_t *ends =
        documents == NULL ? NULL : (const int32_t *)tensor_data(documents) + tensor_rows(dy);
    ConvRows x = {.count = at_most(taps, (ends == NULL ? T : ends[row]) - t)};
    for (int64_t j = 0; j < x.count; j++)
        x.rows[j] = (const stored *)tensor_data(dy) + (row + j) * C;
    return x;
}

Status KERNEL(short_conv)(const Node *node, void *stream) {
    (void)stream;
    const Tensor *h = node->inputs[0], *w = node->inputs[1], *documents = node->inputs[2];
    int64_t rows = tensor_rows(h), C = tensor_columns(h), taps = w->shape[0];
    stored *y = tensor_data(node->outputs[0]);
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        ConvRows x = rows_before(h, documents, row, taps);
        weighted_sum(y + row * C, &x, tensor_data(w), C, false);
    }
    return OK;
}

/* Adds a row's contribution to dw (taps, C). */
static void weights_add(real *dw, const ConvRows *dy, const stored *h, int64_t C) {
    for (int64_t j = 0; j < dy->count; j++) {
        const stored *d = dy->rows[j];
#pragma omp simd
        for (int64_t c = 0; c < C; c++) dw[j * C + c] += load(d[c]) * load(h[c]);
    }
}

/* dw: of this part, or NULL. */
static void part_backward(const Node *node, int64_t part, real *dw) {
    const ShortConvAttrs *attrs = node->attrs;
    const Tensor *dy = node->inputs[0], *w = node->inputs[2];
    const stored *h = tensor_data(node->inputs[1]);
    stored *dh = node->outputs[0] == NULL ? NULL : tensor_data(node->outputs[0]);
    int64_t C = tensor_columns(dy), taps = w->shape[0], first, end;
    range_part(tensor_rows(dy), SHORT_CONV_PARTS, part, &first, &end);
    memset(dw, 0, (size_t)(taps * C) * sizeof *dw);
    for (int64_t row = first; row < end; row++) {
        ConvRows d = rows_after(dy, node->inputs[3], row, taps);
        if (dh != NULL) weighted_sum(dh + row * C, &d, tensor_data(w), C, attrs->accumulate);
        weights_add(dw, &d, h + row * C, C);
    }
}

Status KERNEL(short_conv_backward)(const Node *node, void *stream) {
    (void)stream;
    const ShortConvAttrs *attrs = node->attrs;
    int64_t count = tensor_count(node->inputs[2]);
    real *parts = tensor_data(node->workspace);
#pragma omp parallel for schedule(static)
    for (int64_t part = 0; part < SHORT_CONV_PARTS; part++)
        part_backward(node, part, parts + part * count);
    if (node->outputs[1] == NULL) return OK;
    real *dw = tensor_data(node->outputs[1]);
    if (!attrs->accumulate_w) memset(dw, 0, (size_t)count * sizeof *dw);
    for (int64_t part = 0; part < SHORT_CONV_PARTS; part++) {
#pragma omp simd
        for (int64_t i = 0; i < count; i++) dw[i] += parts[part * count + i];
    }
    return OK;
}

/* Token t of row b of h and those before it; past the first token those of `past`. */
static ConvRows rows_cached(const Node *node, int64_t b, int64_t t) {
    const Tensor *h = node->inputs[0];
    const stored *new = tensor_data(h), *past = tensor_data(node->inputs[4]);
    const int32_t *positions = tensor_data(node->inputs[2]);
    int64_t T = h->shape[1], C = tensor_columns(h), taps = node->inputs[1]->shape[0];
    ConvRows x = {.count = at_most(taps, positions[b * T] + t + 1)};
    for (int64_t j = 0; j < x.count; j++)
        x.rows[j] = j <= t ? new + (b * T + t - j) * C : past + (b * (taps - 1) + j - t - 1) * C;
    return x;
}

/* The oldest row first, because it may be one that is still to be replaced. */
static void past_set(const Node *node, int64_t b, int64_t count) {
    const Tensor *h = node->inputs[0];
    int64_t T = h->shape[1], C = tensor_columns(h), older = node->inputs[1]->shape[0] - 1;
    stored *past = (stored *)tensor_data(node->outputs[1]) + b * older * C;
    const stored *new = (const stored *)tensor_data(h) + (b * T + count - 1) * C;
    for (int64_t k = older - 1; k >= 0 && count > 0; k--)
        memcpy(past + k * C, k < count ? new - k *C : past + (k - count) * C,
               (size_t)C * sizeof *past);
}

Status KERNEL(short_conv_cached)(const Node *node, void *stream) {
    (void)stream;
    const Tensor *h = node->inputs[0], *w = node->inputs[1];
    const int32_t *count = tensor_data(node->inputs[3]);
    int64_t rows = tensor_rows(h), C = tensor_columns(h), T = h->shape[1];
    stored *y = tensor_data(node->outputs[0]);
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        ConvRows x = rows_cached(node, row / T, row % T);
        weighted_sum(y + row * C, &x, tensor_data(w), C, false);
    }
    for (int64_t b = 0; b < h->shape[0]; b++) past_set(node, b, *count);
    return OK;
}
