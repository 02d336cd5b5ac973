#include "core/ops/short_conv.h"

#include "core/autodiff.h"

DECLARE_KERNELS(short_conv);
DECLARE_KERNELS(short_conv_backward);
DECLARE_KERNELS(short_conv_cached);

static size_t parts_cpu(const Node *node, const Target *target) {
    (void)target;
    return SHORT_CONV_PARTS * (size_t)tensor_count(node->inputs[2]) *
           dtype_size(dtype_wide(node->dtype));
}

static size_t parts_cuda(const Node *node, const Target *target) {
    (void)target;
    return SHORT_CONV_BLOCKS * (size_t)tensor_count(node->inputs[2]) * sizeof(float);
}

const Op short_conv_backward_op = {
    .name = "short_conv_backward",
    .kernels = KERNELS(CPU_KERNEL(short_conv_backward, .workspace = parts_cpu),
                       CUDA_KERNEL(short_conv_backward, DTYPES_REAL, .workspace = parts_cuda,
                                   .speed = MEMORY_SPEED)),
};

static void short_conv_gradient(Program *p, const Node *node) {
    Tensor *h = node->inputs[0], *w = node->inputs[1], *documents = node->inputs[2];
    Tensor *dy = autodiff_gradient(p, node->outputs[0]);
    GradTarget dh = autodiff_target(p, h), dw = autodiff_target(p, w);
    ShortConvAttrs attrs = {dh.accumulate, dw.accumulate};
    program_record(p, (Recording){&short_conv_backward_op, &attrs, sizeof attrs,
                                  TENSORS(dy, h, w, documents), TENSORS(dh.grad, dw.grad), NULL});
}

const Op short_conv_op = {
    .name = "short_conv",
    .gradient = short_conv_gradient,
    .kernels = KERNELS(CPU_KERNEL(short_conv),
                       CUDA_KERNEL(short_conv, DTYPES_REAL, .speed = MEMORY_SPEED)),
};

const Op short_conv_cached_op = {
    .name = "short_conv_cached",
    .kernels = KERNELS(CPU_KERNEL(short_conv_cached),
                       CUDA_KERNEL(short_conv_cached, DTYPES_REAL, .speed = MEMORY_SPEED)),
};

static bool fits(const Tensor *h, const Tensor *w) {
    return h->n_dims == 3 && w->n_dims == 2 && w->dtype == h->dtype && w->shape[0] >= 2 &&
           w->shape[0] <= SHORT_CONV_MOST_TAPS && w->shape[1] == h->shape[2];
}

/* Whether t holds `per_token` numbers for each token of h. */
static bool are_integers(const Tensor *t, const Tensor *h, int64_t per_token) {
    return t->dtype == DTYPE_I32 && tensor_count(t) == per_token * tensor_rows(h);
}

Tensor *short_conv_record(Program *p, Tensor *h, Tensor *w, Tensor *documents) {
    if (program_failed(p) || h == NULL || w == NULL) return NULL;
    if (!fits(h, w) || (documents != NULL && !are_integers(documents, h, 2))) {
        return program_fail(p, STATUS_CONFIG, "short_conv: %s does not fit %s%s%s", tensor_text(w),
                            tensor_text(h), documents == NULL ? "" : " with documents ",
                            documents == NULL ? "" : tensor_text(documents));
    }
    Tensor *y = program_tensor_like(p, BUFFER_ACTIVATIONS, h);
    program_record(
        p, (Recording){&short_conv_op, NULL, 0, TENSORS(h, w, documents), TENSORS(y), NULL});
    return y;
}

Tensor *short_conv_cached_record(Program *p, Tensor *h, Tensor *w, Tensor *positions, Tensor *count,
                                 Tensor *past) {
    if (program_failed(p) || h == NULL || w == NULL) return NULL;
    if (!fits(h, w) || !are_integers(positions, h, 1) || count->dtype != DTYPE_I32 ||
        past->dtype != h->dtype ||
        tensor_count(past) != h->shape[0] * (w->shape[0] - 1) * w->shape[1]) {
        return program_fail(p, STATUS_CONFIG,
                            "short_conv_cached: %s, %s and %s do not fit together", tensor_text(h),
                            tensor_text(w), tensor_text(past));
    }
    Tensor *y = program_tensor_like(p, BUFFER_ACTIVATIONS, h);
    program_record(p, (Recording){&short_conv_cached_op, NULL, 0,
                                  TENSORS(h, w, positions, count, past), TENSORS(y, past), NULL});
    return y;
}
