/* The products of a linear layer and its gradient as the CPU computes them. */
#pragma once

#include "core/cpu/product_bf16.h"
#include "core/op.h"

/* y = x w^T + bias */
static inline ProductShape linear_shape(const Node *node) {
    return (ProductShape){.rows = tensor_rows(node->inputs[0]),
                          .columns = tensor_columns(node->outputs[0]),
                          .depth = tensor_columns(node->inputs[0]),
                          .b_turned = true,
                          .has_bias = node->inputs[2] != NULL};
}

/* dx = dy w */
static inline ProductShape linear_dx_shape(const Node *node, bool accumulate) {
    return (ProductShape){.rows = tensor_rows(node->inputs[0]),
                          .columns = tensor_columns(node->outputs[0]),
                          .depth = tensor_columns(node->inputs[0]),
                          .accumulate = accumulate};
}

/* dw = dy^T x */
static inline ProductShape linear_dw_shape(const Node *node, bool accumulate) {
    return (ProductShape){.rows = tensor_columns(node->inputs[0]),
                          .columns = tensor_columns(node->inputs[1]),
                          .depth = tensor_rows(node->inputs[0]),
                          .a_turned = true,
                          .accumulate = accumulate,
                          .wide = true};
}

/* For a row of the CPU: why it has no kernel, and the scratch memory of its product. */
static inline const char *linear_refuses_cpu(const Node *node, const Target *target) {
    (void)target;
    return node->dtype == DTYPE_BF16 ? product_bf16_refusal() : NULL;
}

static inline size_t linear_scratch(const Node *node, const Target *target, ProductShape shape) {
    return node->dtype == DTYPE_BF16 ? product_bf16_bytes(&shape, target->threads) : 0;
}
