/* Tokens are integers, so this file is compiled once, unlike the floating-point kernels. */
#include "nn/attention/documents.h"

Status documents_cpu(const Node *node, void *stream);

static void row_find(const int32_t *tokens, int64_t T, int32_t end_of_text, int32_t *firsts,
                     int32_t *ends) {
    int32_t first = 0, end = (int32_t)T;
    for (int64_t t = 0; t < T; t++) {
        firsts[t] = first;
        if (tokens[t] == end_of_text) first = (int32_t)t + 1;
    }
    for (int64_t t = T - 1; t >= 0; t--) {
        if (tokens[t] == end_of_text) end = (int32_t)t + 1;
        ends[t] = end;
    }
}

Status documents_cpu(const Node *node, void *stream) {
    (void)stream;
    const DocumentsAttrs *attrs = node->attrs;
    const Tensor *tokens = node->inputs[0];
    const int32_t *rows = tensor_data(tokens);
    int32_t *ranges = tensor_data(node->outputs[0]);
    int64_t B = tokens->shape[0], T = tokens->shape[1];
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < B; b++) {
        row_find(rows + b * T, T, attrs->end_of_text, ranges + b * T, ranges + (B + b) * T);
    }
    return OK;
}
