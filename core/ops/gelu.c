#include "core/ops/gelu.h"

#include "core/autodiff.h"
#include "core/ops/linear_gradient.h"

DECLARE_KERNELS(gelu);
DECLARE_KERNELS(gelu_backward);

static void gelu_gradient(Program *p, const Node *node) {
    Tensor *d = autodiff_exclusive(p, node->outputs[0]);
    gelu_backward_record(p, d, node->inputs[0]);
    autodiff_share(p, node->inputs[0], d);
}

const Op gelu_op = {
    .name = "gelu",
    .gradient = gelu_gradient,
    .kernels =
        KERNELS(CPU_KERNEL(gelu), CUDA_KERNEL(gelu, DTYPES_REAL, .speed = SPEED(1.0, 0, 0.75))),
};

const Op gelu_backward_op = {
    .name = "gelu_backward",
    .kernels = KERNELS(CPU_KERNEL(gelu_backward),
                       CUDA_KERNEL(gelu_backward, DTYPES_REAL, .speed = MEMORY_SPEED)),
};

/* The product that wrote `d`, if it is the last recorded node and can fuse the gradient of the
 * GELU. */
static Node *product_of(const Program *p, const Tensor *d) {
    Node *last = program_last(p);
    if (last == NULL || last->op != &linear_dx_op || last->outputs[0] != d) return NULL;
    const LinearAttrs *attrs = last->attrs;
    return attrs->accumulate || last->inputs[2] != NULL ? NULL : last;
}

void gelu_backward_record(Program *p, Tensor *d, Tensor *pre) {
    if (program_failed(p)) return;
    Node *product = product_of(p, d);
    if (product != NULL) {
        product->inputs[2] = pre;
        return;
    }
    program_record(p, (Recording){&gelu_backward_op, NULL, 0, TENSORS(pre), TENSORS(d), NULL});
}

Tensor *gelu_record(Program *p, Tensor *x) {
    if (program_failed(p) || x == NULL) return NULL;
    Tensor *y = program_tensor_like(p, BUFFER_ACTIVATIONS, x);
    program_record(p, (Recording){&gelu_op, NULL, 0, TENSORS(x), TENSORS(y), NULL});
    return y;
}
