/* A library computes the products, but for those of generation; bias, GELU and bias gradient each
 * make one pass over the output. */
#include "core/ops/linear.h"

#include "core/cpu/gelu.h"
#include "core/cpu/product.h"
#include "core/ops/linear_product.h"

DECLARE_KERNELS(linear);
DECLARE_KERNELS(linear_dx);
DECLARE_KERNELS(linear_dw);

static void bias_and_gelu(stored *y, stored *pre, const stored *bias, int64_t rows, int64_t columns,
                          bool gelu) {
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        stored *out = y + row * columns;
        if (bias != NULL) {
#pragma omp simd
            for (int64_t j = 0; j < columns; j++) out[j] = store(load(out[j]) + load(bias[j]));
        }
        if (pre != NULL) memcpy(pre + row * columns, out, (size_t)columns * sizeof *out);
        if (gelu) {
#pragma omp simd
            for (int64_t j = 0; j < columns; j++) out[j] = store(gelu_value(load(out[j])));
        }
    }
}

/* A batch with one token per row, (B, 1, K), as in generation: bound by the memory of w, which gemm
 * reads, packs and reads again. */
enum { FEW_ROWS = 8, FEW_COLUMNS = 4 };

static bool is_one_token_per_row(const Tensor *x) {
    return x->n_dims == 3 && x->shape[1] == 1 && x->shape[0] <= FEW_ROWS;
}

/* y[i] = x w[i] for FEW_COLUMNS rows of w. */
static void columns_product(const stored *x, const stored *w, int64_t depth, stored *y) {
    const stored *w1 = w + depth, *w2 = w1 + depth, *w3 = w2 + depth;
    real sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
#pragma omp simd reduction(+ : sum0, sum1, sum2, sum3)
    for (int64_t k = 0; k < depth; k++) {
        sum0 += load(x[k]) * load(w[k]);
        sum1 += load(x[k]) * load(w1[k]);
        sum2 += load(x[k]) * load(w2[k]);
        sum3 += load(x[k]) * load(w3[k]);
    }
    y[0] = store(sum0), y[1] = store(sum1), y[2] = store(sum2), y[3] = store(sum3);
}

static void column_product(const stored *x, const stored *w, int64_t depth, stored *y) {
    real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t k = 0; k < depth; k++) sum += load(x[k]) * load(w[k]);
    *y = store(sum);
}

/* y = x w^T: each thread reads its rows of w once, for all rows of x. */
static void few_rows_product(const stored *x, const stored *w, stored *y, int64_t rows,
                             int64_t depth, int64_t columns) {
    int64_t whole = columns / FEW_COLUMNS * FEW_COLUMNS;
#pragma omp parallel for schedule(static)
    for (int64_t j = 0; j < whole; j += FEW_COLUMNS) {
        for (int64_t row = 0; row < rows; row++)
            columns_product(x + row * depth, w + j * depth, depth, y + row * columns + j);
    }
    for (int64_t j = whole; j < columns; j++) {
        for (int64_t row = 0; row < rows; row++)
            column_product(x + row * depth, w + j * depth, depth, y + row * columns + j);
    }
}

static void *data_or_null(const Tensor *t) { return t == NULL ? NULL : tensor_data(t); }

Status KERNEL(linear)(const Node *node, void *stream) {
    (void)stream;
    const LinearAttrs *attrs = node->attrs;
    const Tensor *x = node->inputs[0], *w = node->inputs[1], *y = node->outputs[0];
    const Tensor *pre = node->n_outputs > 1 ? node->outputs[1] : NULL;
    ProductShape shape = linear_shape(node);
    const stored *bias = data_or_null(node->inputs[2]);
    if (is_one_token_per_row(x)) {
        few_rows_product(tensor_data(x), tensor_data(w), tensor_data(y), shape.rows, shape.depth,
                         shape.columns);
    } else {
        TRY(product(&shape, tensor_data(x), tensor_data(w), bias, tensor_data(y),
                    data_or_null(node->workspace)));
        if (IS_NARROW) bias = NULL; /* it is added */
    }
    if (bias != NULL || attrs->gelu) {
        bias_and_gelu(tensor_data(y), data_or_null(pre), bias, shape.rows, shape.columns,
                      attrs->gelu);
    }
    return OK;
}

Status KERNEL(linear_dx)(const Node *node, void *stream) {
    (void)stream;
    const LinearAttrs *attrs = node->attrs;
    const Tensor *dy = node->inputs[0], *w = node->inputs[1], *dx = node->outputs[0];
    ProductShape shape = linear_dx_shape(node, attrs->accumulate);
    TRY(product(&shape, tensor_data(dy), tensor_data(w), NULL, tensor_data(dx),
                data_or_null(node->workspace)));
    const stored *pre = data_or_null(node->inputs[2]);
    if (pre == NULL) return OK;
    stored *d = tensor_data(dx);
    int64_t count = tensor_count(dx);
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; i++) d[i] = store(load(d[i]) * gelu_derivative(load(pre[i])));
    return OK;
}

/* db = column sums of dy: each part of the rows sums into its line of the workspace, then the lines
 * are added in order. */
static void bias_gradient(const Node *node, bool accumulate) {
    const Tensor *dy = node->inputs[0];
    int64_t rows = tensor_rows(dy), columns = tensor_columns(dy);
    real *parts = tensor_data(node->workspace), *db = tensor_data(node->outputs[1]);
    const stored *in = tensor_data(dy);
#pragma omp parallel for schedule(static)
    for (int64_t part = 0; part < LINEAR_BIAS_PARTS; part++) {
        int64_t first, end;
        range_part(rows, LINEAR_BIAS_PARTS, part, &first, &end);
        real *sum = parts + part * columns;
        memset(sum, 0, (size_t)columns * sizeof *sum);
        for (int64_t row = first; row < end; row++) {
#pragma omp simd
            for (int64_t j = 0; j < columns; j++) sum[j] += load(in[row * columns + j]);
        }
    }
    if (!accumulate) memset(db, 0, (size_t)columns * sizeof *db);
    for (int64_t part = 0; part < LINEAR_BIAS_PARTS; part++) {
#pragma omp simd
        for (int64_t j = 0; j < columns; j++) db[j] += parts[part * columns + j];
    }
}

Status KERNEL(linear_dw)(const Node *node, void *stream) {
    (void)stream;
    const LinearAttrs *attrs = node->attrs;
    ProductShape shape = linear_dw_shape(node, attrs->accumulate);
    TRY(product(&shape, tensor_data(node->inputs[0]), tensor_data(node->inputs[1]), NULL,
                tensor_data(node->outputs[0]), data_or_null(node->workspace)));
    if (node->outputs[1] != NULL) bias_gradient(node, attrs->accumulate_bias);
    return OK;
}
