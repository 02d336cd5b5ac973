#include "core/ops/adamw.h"

#include "core/cpu/real.h"
#include "core/step.h"

DECLARE_KERNELS(adamw);

typedef struct AdamwUpdate {
    /* rest: 1 - beta, computed in double; in single precision it would be 0 for a beta near 1 */
    real beta1, beta2, rest1, rest2;
    real eps, lr, decay, gradient_scale, correction1, correction2;
} AdamwUpdate;

static AdamwUpdate update_of(const AdamwAttrs *attrs, const StepState *step, double norm) {
    double t = (double)step->adam_step;
    return (AdamwUpdate){
        .beta1 = (real)attrs->beta1,
        .beta2 = (real)attrs->beta2,
        .rest1 = (real)(1 - attrs->beta1),
        .rest2 = (real)(1 - attrs->beta2),
        .eps = (real)attrs->eps,
        .lr = (real)step->lr * (real)attrs->lr_scale,
        .decay = (real)attrs->weight_decay,
        .gradient_scale = (real)adamw_gradient_scale(attrs->clip, (double)step->loss_scale, norm),
        .correction1 = (real)adamw_correction(attrs->beta1, t),
        .correction2 = (real)adamw_correction(attrs->beta2, t),
    };
}

/* half: the weights in 16 bits, of which w are the masters; else NULL. */
static void elements_update(AdamwUpdate u, real *w, stored *half, real *m, real *v,
                            const real *grad, int64_t count) {
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; i++) {
        real g = grad[i] * u.gradient_scale;
        real m_new = u.beta1 * m[i] + u.rest1 * g;
        real v_new = u.beta2 * v[i] + u.rest2 * g * g;
        real root = real_sqrt(v_new * u.correction2);
        w[i] -= u.lr * (m_new * u.correction1 / (root + u.eps) + u.decay * w[i]);
        m[i] = m_new;
        v[i] = v_new;
        if (half != NULL) half[i] = store(w[i]);
    }
}

/* Records the first non-finite gradient of a range, if requested. */
static void first_nonfinite_keep(const Tensor *grad, AdamwRange range, const StepState *step,
                                 const Tensor *first_nonfinite) {
    const real *values = (const real *)tensor_data(grad) + range.first;
    int64_t i = 0, *kept = tensor_data(first_nonfinite);
    while (i < range.count && isfinite(values[i])) i++;
    if (i == range.count) return;
    int64_t found =
        adamw_first_nonfinite(step->step, (int64_t)(grad->offset / sizeof(real)) + range.first + i);
    if (found > *kept) *kept = found;
}

static void range_update(const Node *node, AdamwUpdate update, AdamwRange range) {
    const real *grad = (const real *)tensor_data(node->inputs[0]) + range.first;
    Tensor *weight = node->outputs[0], *master = node->outputs[1];
    bool is_half = master != NULL;
    real *w = is_half ? (real *)tensor_data(master) + range.place
                      : (real *)tensor_data(weight) + range.first;
    stored *half = is_half ? (stored *)tensor_data(weight) + range.first : NULL;
    real *m = (real *)tensor_data(node->outputs[2]) + range.place;
    real *v = (real *)tensor_data(node->outputs[3]) + range.place;
    elements_update(update, w, half, m, v, grad, range.count);
}

Status KERNEL(adamw)(const Node *node, void *stream) {
    (void)stream;
    const AdamwWork *work = node->attrs;
    const StepState *step = tensor_data(node->inputs[2]);
    const real *norm = tensor_data(node->inputs[1]);
    if (isfinite(*norm)) {
        AdamwUpdate update = update_of(&work->attrs, step, (double)*norm);
        for (int i = 0; i < work->n_ranges; i++) range_update(node, update, work->ranges[i]);
    } else if (node->outputs[4] != NULL) {
        for (int i = 0; i < work->n_ranges; i++) {
            first_nonfinite_keep(node->inputs[0], work->ranges[i], step, node->outputs[4]);
        }
    }
    return OK;
}
