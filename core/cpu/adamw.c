#include "core/ops/adamw.h"

#include "core/cpu/real.h"
#include "core/step.h"

DECLARE_KERNELS(adamw);

typedef struct Update {
    /* rest: 1 - beta, narrowed last, or a beta near 1 would leave nothing */
    real beta1, beta2, rest1, rest2;
    real eps, lr, gradient_scale, correction1, correction2;
} Update;

static Update update_of(const AdamwAttrs *attrs, const StepState *step, double norm) {
    double t = (double)step->adam_step;
    return (Update){
        .beta1 = (real)attrs->beta1,
        .beta2 = (real)attrs->beta2,
        .rest1 = (real)(1 - attrs->beta1),
        .rest2 = (real)(1 - attrs->beta2),
        .eps = (real)attrs->eps,
        .lr = (real)step->lr,
        .gradient_scale = (real)adamw_gradient_scale(attrs->clip, (double)step->loss_scale, norm),
        .correction1 = (real)adamw_correction(attrs->beta1, t),
        .correction2 = (real)adamw_correction(attrs->beta2, t),
    };
}

static void update_range(Update u, real decay, real *w, real *m, real *v, const real *grad,
                         int64_t first, int64_t end) {
#pragma omp parallel for simd schedule(static)
    for (int64_t i = first; i < end; i++) {
        real g = grad[i] * u.gradient_scale;
        real m_new = u.beta1 * m[i] + u.rest1 * g;
        real v_new = u.beta2 * v[i] + u.rest2 * g * g;
        real root = real_sqrt(v_new * u.correction2);
        w[i] -= u.lr * (m_new * u.correction1 / (root + u.eps) + decay * w[i]);
        m[i] = m_new;
        v[i] = v_new;
    }
}

/* The first gradient of a piece that is not finite is kept, where it is asked for. */
static void offender_keep(const Tensor *grad, AdamwPiece piece, const StepState *step,
                          const Tensor *offender) {
    const real *values = (const real *)tensor_data(grad) + piece.first;
    int64_t i = 0, *kept = tensor_data(offender);
    while (i < piece.count && isfinite(values[i])) i++;
    if (i == piece.count) return;
    int64_t found =
        adamw_offender(step->step, (int64_t)(grad->offset / sizeof(real)) + piece.first + i);
    if (found > *kept) *kept = found;
}

static void piece_update(const Node *node, const AdamwAttrs *attrs, Update update,
                         AdamwPiece piece) {
    const real *grad = (const real *)tensor_data(node->inputs[0]) + piece.first;
    real *w = (real *)tensor_data(node->outputs[0]) + piece.first;
    real *m = (real *)tensor_data(node->outputs[2]) + piece.place;
    real *v = (real *)tensor_data(node->outputs[3]) + piece.place;
    int64_t n_decayed = attrs->n_decayed - piece.first;
    if (n_decayed < 0) n_decayed = 0;
    if (n_decayed > piece.count) n_decayed = piece.count;
    update_range(update, (real)attrs->weight_decay, w, m, v, grad, 0, n_decayed);
    update_range(update, 0, w, m, v, grad, n_decayed, piece.count);
}

Status KERNEL(adamw)(const Node *node, void *stream) {
    (void)stream;
    const AdamwWork *work = node->attrs;
    const StepState *step = tensor_data(node->inputs[2]);
    const real *norm = tensor_data(node->inputs[1]);
    if (isfinite(*norm)) {
        Update update = update_of(&work->attrs, step, (double)*norm);
        for (int i = 0; i < work->n_pieces; i++)
            piece_update(node, &work->attrs, update, work->pieces[i]);
    } else if (node->outputs[4] != NULL) {
        for (int i = 0; i < work->n_pieces; i++) {
            offender_keep(node->inputs[0], work->pieces[i], step, node->outputs[4]);
        }
    }
    return OK;
}
