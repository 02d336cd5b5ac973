#include "core/ops/embedding.h"

#include "core/cpu/real.h"

DECLARE_KERNELS(embedding);
DECLARE_KERNELS(embedding_backward);

static bool is_token(int32_t token, int64_t V) { return token >= 0 && token < V; }

Status KERNEL(embedding)(const Node *node, void *stream) {
    (void)stream;
    const int32_t *tokens = tensor_data(node->inputs[0]);
    const stored *wte = tensor_data(node->inputs[1]);
    const stored *wpe = node->inputs[2] == NULL ? NULL : tensor_data(node->inputs[2]);
    const Tensor *x = node->outputs[0];
    stored *out = tensor_data(x);
    int64_t rows = tensor_rows(x), T = x->shape[1], C = x->shape[2],
            V = tensor_rows(node->inputs[1]);
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        bool is_known = is_token(tokens[row], V);
        const stored *token = wte + (is_known ? tokens[row] * C : 0);
        const stored *position = wpe == NULL ? NULL : wpe + row % T * C;
#pragma omp simd
        for (int64_t j = 0; j < C; j++)
            out[row * C + j] = store(
                is_known ? load(token[j]) + (position == NULL ? 0 : load(position[j])) : (real)NAN);
    }
    return OK;
}

static void add_columns(real *sum, const stored *x, int64_t first, int64_t end) {
#pragma omp simd
    for (int64_t j = first; j < end; j++) sum[j] += load(x[j]);
}

/* Each thread owns a range of columns, so rows with equal tokens are added in batch order, without
 * atomics. */
static void columns_backward(const Node *node, int64_t first, int64_t end) {
    const EmbeddingAttrs *attrs = node->attrs;
    const Tensor *d = node->inputs[0], *wpe = node->outputs[1];
    const int32_t *tokens = tensor_data(node->inputs[1]);
    const stored *dx = tensor_data(d);
    real *dwte = tensor_data(node->outputs[0]), *dwpe = wpe == NULL ? NULL : tensor_data(wpe);
    int64_t rows = tensor_rows(d), T = d->shape[1], C = d->shape[2], V = node->outputs[0]->shape[0];
    for (int64_t v = 0; v < V && !attrs->accumulate_wte; v++) {
        memset(dwte + v * C + first, 0, (size_t)(end - first) * sizeof *dwte);
    }
    for (int64_t t = 0; wpe != NULL && t < wpe->shape[0] && !attrs->accumulate_wpe; t++) {
        memset(dwpe + t * C + first, 0, (size_t)(end - first) * sizeof *dwpe);
    }
    for (int64_t row = 0; row < rows; row++) {
        if (is_token(tokens[row], V)) add_columns(dwte + tokens[row] * C, dx + row * C, first, end);
        if (dwpe != NULL) add_columns(dwpe + row % T * C, dx + row * C, first, end);
    }
}

Status KERNEL(embedding_backward)(const Node *node, void *stream) {
    (void)stream;
    int64_t C = tensor_columns(node->inputs[0]), parts = (C + 63) / 64;
#pragma omp parallel for schedule(static)
    for (int64_t part = 0; part < parts; part++) {
        int64_t first, end;
        range_part(C, parts, part, &first, &end);
        columns_backward(node, first, end);
    }
    return OK;
}
