#include "core/ops/linear_f8.h"

#include "core/autodiff.h"
#include "core/ops/linear.h"

static Node *product_record(Program *p, Tensor *y, Tensor *x, Tensor *w, Tensor *bias,
                            const LinearF8 *layer) {
    bool trains = p->training && w->needs_grad;
    Quantized qx = quantize_once(p, x, &layer->x,
                                 (QuantizeWants){.q = true, .transposed = trains && layer->dw});
    Quantized qw = quantize_once(
        p, w, &layer->w,
        (QuantizeWants){.q = true, .transposed = p->training && x->needs_grad && layer->dx});
    ProductF8Attrs attrs = {.layer = layer, .fast = layer->fast_forward};
    return program_record(p, (Recording){&linear_f8_op, &attrs, sizeof attrs,
                                         TENSORS(qx.q, qw.q, qx.scale, qw.scale, bias, x, w),
                                         TENSORS(y), NULL});
}

static bool shapes_fit(Program *p, const Tensor *x, const Tensor *w) {
    if (x == NULL || w == NULL) return false;
    if (w->n_dims == 2 && tensor_columns(x) == w->shape[1]) return true;
    program_fail(p, STATUS_CONFIG, "linear_f8: input %s does not fit weight %s", tensor_text(x),
                 tensor_text(w));
    return false;
}

Tensor *linear_f8_record(Program *p, Tensor *x, Tensor *w, Tensor *bias, const LinearF8 *layer) {
    if (program_failed(p) || !shapes_fit(p, x, w)) return NULL;
    if (!layer->forward) return linear_record_f8_gradient(p, x, w, bias, layer);
    Tensor like = *x;
    like.shape[x->n_dims - 1] = w->shape[0];
    Tensor *y = program_tensor_like(p, BUFFER_ACTIVATIONS, &like);
    product_record(p, y, x, w, bias, layer);
    return y;
}

void linear_f8_into(Program *p, Tensor *y, Tensor *x, Tensor *w, const LinearF8 *layer) {
    if (program_failed(p) || !shapes_fit(p, x, w)) return;
    if (layer->forward)
        autodiff_done(product_record(p, y, x, w, NULL, layer));
    else
        linear_into(p, y, x, w);
}
