#include "nn/loss.h"

#include "core/autodiff.h"
#include "core/ops/cross_entropy.h"
#include "core/ops/linear.h"
#include "core/ops/linear_f8.h"

/* Products prefer powers of two: 5120 rows of GPT-2's logits take 1.12 times as long per row as
 * 4096, and 5042 rows 1.2 times (H200). Smaller totals are cut into chunks of nearly equal size,
 * because a short last chunk would waste a product. */
enum { LEAST_POWER = 512 };

static int64_t chunk_rows(const Tensor *x, const Tensor *wte, const LossOptions *options) {
    int64_t rows = tensor_rows(x), row_bytes = wte->shape[0] * (int64_t)dtype_size(x->dtype);
    int64_t most = (int64_t)options->logits_bytes / row_bytes, power = LEAST_POWER;
    if (most < 1) most = 1;
    if (most >= rows) return rows;
    while (2 * power <= most) power *= 2;
    if (power <= most) return power;
    int64_t chunks = (rows + most - 1) / most;
    return (rows + chunks - 1) / chunks;
}

/* As (rows, 1), so that a chunk is a range of rows. */
static Tensor column_of(const Tensor *t) {
    Tensor column = *t;
    column.n_dims = 2;
    column.shape[0] = tensor_count(t);
    column.shape[1] = 1;
    return column;
}

void loss_record(Program *p, const Tensor *losses, Tensor *x, Tensor *wte, const Tensor *targets,
                 const LossOptions *options) {
    if (program_failed(p) || losses == NULL || x == NULL || wte == NULL || targets == NULL) return;
    program_label(p, "lm_head");
    int64_t rows = tensor_rows(x), step = chunk_rows(x, wte, options);
    CrossEntropyAttrs attrs = {
        .V = options->V, .scale = options->scale, .softcap = options->softcap};
    const LinearF8 *layer = p->training ? options->layer : NULL;
    Tensor loss_rows = column_of(losses), target_rows = column_of(targets);
    GradTarget dx = p->training ? autodiff_target(p, x) : (GradTarget){0};
    for (int64_t first = 0; first < rows && !program_failed(p); first += step) {
        int64_t count = rows - first < step ? rows - first : step;
        Tensor *part = program_rows(p, x, first, count);
        Tensor *logits =
            program_tensor(p, BUFFER_LOGITS, x->dtype, 2, (int64_t[]){count, wte->shape[0]});
        if (layer == NULL)
            linear_into(p, logits, part, wte);
        else
            linear_f8_into(p, logits, part, wte, layer);
        cross_entropy_record(p, program_rows(p, &loss_rows, first, count), logits,
                             program_rows(p, &target_rows, first, count), attrs, options->step);
        if (!p->training) continue;
        autodiff_watch(p, part, program_rows(p, dx.grad, first, count), dx.accumulate);
        if (layer == NULL)
            linear_gradient_record(p, logits, part, wte, NULL);
        else
            linear_f8_gradient_record(p, logits, part, wte, NULL, layer);
    }
}
