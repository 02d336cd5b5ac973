#include "tests/gpu/op_cases_helper.h"

#include "core/ops/adamw.h"
#include "core/ops/copy.h"
#include "core/ops/cross_entropy.h"
#include "core/ops/dropout.h"
#include "core/ops/embedding.h"
#include "core/ops/gelu.h"
#include "core/ops/linear.h"
#include "core/ops/reduce.h"

#include <math.h>
#include <string.h>

static const StepState some_step = {.seed = 0x123456789ABCDEF,
                                    .step = 17,
                                    .first_sample = 5,
                                    .adam_step = 3,
                                    .lr = 1e-3f,
                                    .loss_scale = 1};

/* A composition of separate ops rounds the GELU's argument first. */
static Tensor *layer(Case *c, Tensor *x, Tensor *w, Tensor *b, bool gelu) {
    Program *p = case_program(c);
    if (!gelu || case_role(c) != CASE_COMPOSITION) return linear_record(p, x, w, b, gelu);
    return gelu_record(p, linear_record(p, x, w, b, false));
}

static void linear_case(Case *c, int64_t rows, int64_t K, int64_t N, bool bias, bool gelu,
                        bool accumulate) {
    double std = 1 / sqrt((double)K);
    Tensor *x = case_activation(c, 0, 1, false, SHAPE(rows, K));
    Tensor *w = case_parameter(c, 0, std, accumulate, SHAPE(N, K));
    Tensor *b = bias ? case_parameter(c, 0, 1, accumulate, SHAPE(N)) : NULL;
    case_differentiate(c, layer(c, x, w, b, gelu));
}

static void linear_small(Case *c) { linear_case(c, 96, 64, 128, true, false, false); }
static void linear_ragged(Case *c) { linear_case(c, 33, 19, 21, true, false, true); }
static void linear_plain(Case *c) { linear_case(c, 130, 72, 40, false, false, true); }
static void linear_gelu(Case *c) { linear_case(c, 96, 64, 128, true, true, false); }
static void linear_gelu_ragged(Case *c) { linear_case(c, 35, 17, 23, true, true, true); }
static void linear_gelu_unbiased(Case *c) { linear_case(c, 64, 32, 96, false, true, false); }
static void linear_large(Case *c) { linear_case(c, 1024, 768, 2304, true, false, false); }

static void linear_evaluated(Case *c) {
    case_trains(c, false);
    linear_case(c, 40, 24, 56, true, true, false);
}

/* Two layers: the gradient of the first GELU is fused with the second product. */
static void mlp_case(Case *c, int64_t rows, int64_t C) {
    Program *p = case_program(c);
    double std = 1 / sqrt((double)C);
    Tensor *x = case_activation(c, 0, 1, false, SHAPE(rows, C));
    Tensor *w1 = case_parameter(c, 0, std, false, SHAPE(4 * C, C)),
           *b1 = case_parameter(c, 0, 1, false, SHAPE(4 * C));
    Tensor *w2 = case_parameter(c, 0, std / 2, false, SHAPE(C, 4 * C)),
           *b2 = case_parameter(c, 0, 1, false, SHAPE(C));
    Tensor *hidden = layer(c, x, w1, b1, true);
    if (hidden != NULL &&
        case_role(c) == CASE_COMPOSITION) { /* rounds the product before the gradient of the GELU */
        autodiff_watch(p, hidden, program_tensor_like(p, BUFFER_ACTIVATION_GRADIENTS, hidden),
                       false);
    }
    case_differentiate(c, layer(c, hidden, w2, b2, false));
}

static void mlp_aligned(Case *c) { mlp_case(c, 128, 64); }
static void mlp_ragged(Case *c) { mlp_case(c, 37, 21); }

static void embedding_case(Case *c, int64_t B, int64_t T, int64_t V, int64_t C, bool accumulate) {
    Tensor *tokens = case_tokens(c, V, SHAPE(B, T));
    Tensor *wte = case_parameter(c, 0, 1, accumulate, SHAPE(V, C));
    Tensor *wpe = case_parameter(c, 0, 1, accumulate, SHAPE(T + 3, C));
    case_differentiate(c, embedding_record(case_program(c), tokens, wte, wpe));
}

static void embedding_small(Case *c) { embedding_case(c, 3, 17, 50, 24, false); }
static void embedding_ragged(Case *c) { embedding_case(c, 5, 40, 7, 19, true); }
static void embedding_hot(Case *c) { embedding_case(c, 16, 512, 3, 64, true); }
static void embedding_one(Case *c) { embedding_case(c, 1, 1, 1, 8, false); }
static void embedding_wide(Case *c) { embedding_case(c, 9, 300, 70001, 40, false); }

/* Sorted before dx is ready: two passes, three passes. */
static void ordered_case(Case *c, int64_t B, int64_t T, int64_t V, int64_t C) {
    Tensor *tokens = case_tokens(c, V, SHAPE(B, T)),
           *dx = case_input(c, NARROW, 0, 1, SHAPE(B, T, C));
    Tensor *wte = case_parameter(c, 0, 1, true, SHAPE(V, C)),
           *wpe = case_parameter(c, 0, 1, false, SHAPE(T, C));
    bool sorts = case_role(c) == CASE_TESTED;
    Tensor *order = sorts ? embedding_order_record(case_program(c), tokens, V) : NULL;
    embedding_gradient_record(case_program(c), dx, tokens, order, wte, wpe);
}

static void embedding_ordered(Case *c) { ordered_case(c, 7, 300, 5000, 64); }
static void embedding_ordered_wide(Case *c) { ordered_case(c, 9, 300, 70001, 40); }

static void dropout_case(Case *c, int64_t B, int64_t T, int64_t C) {
    Tensor *x = case_activation(c, 0, 1, true, SHAPE(B, T, C));
    case_differentiate(c, dropout_record(case_program(c), x, 0.3, case_step(c, some_step)));
}

static void dropout_aligned(Case *c) { dropout_case(c, 3, 7, 64); }
static void dropout_ragged(Case *c) { dropout_case(c, 3, 5, 13); }

static void softcap_case(Case *c, int64_t rows, int64_t V, int64_t Vp, bool training,
                         double softcap) {
    case_trains(c, training);
    Tensor *logits = case_input(c, NARROW, 0, 3, SHAPE(rows, Vp)),
           *targets = case_tokens(c, V, SHAPE(rows, 1));
    Tensor *losses = case_output(c, WIDE, SHAPE(rows, 1));
    StepState step = some_step;
    step.loss_scale = 64;
    CrossEntropyAttrs attrs = {.V = V, .scale = 0.125, .softcap = softcap};
    cross_entropy_record(case_program(c), losses, logits, targets, attrs, case_step(c, step));
    case_compare(c, losses);
    if (training) case_compare(c, logits);
}

static void cross_entropy_case(Case *c, int64_t rows, int64_t V, int64_t Vp, bool training) {
    softcap_case(c, rows, V, Vp, training, 0);
}

static void cross_entropy_padded(Case *c) { cross_entropy_case(c, 37, 65, 128, true); }
static void cross_entropy_gpt2(Case *c) { cross_entropy_case(c, 6, 50257, 50304, true); }
static void cross_entropy_rows(Case *c) {
    cross_entropy_case(c, 300, 9001, 9024, true);
} /* more rows than blocks */
static void cross_entropy_ragged(Case *c) { cross_entropy_case(c, 11, 33, 35, true); }
static void softcap_padded(Case *c) { softcap_case(c, 37, 65, 128, true, 5); }
static void softcap_gpt2(Case *c) { softcap_case(c, 6, 50257, 50304, true, 15); }
static void softcap_rows(Case *c) { softcap_case(c, 300, 9001, 9024, true, 30); }
static void softcap_ragged(Case *c) { softcap_case(c, 11, 33, 35, true, 8); }
static void softcap_evaluated(Case *c) { softcap_case(c, 8, 9000, 9024, false, 15); }
static void cross_entropy_evaluated(Case *c) { cross_entropy_case(c, 8, 1000, 1024, false); }

static void sum_case(Case *c) {
    Tensor *out = case_input(c, WIDE, 1, 1, SHAPE(1)), *set = case_output(c, WIDE, SHAPE(1));
    Tensor *x = case_input(c, WIDE, 3, 1, SHAPE(65537));
    sum_record(case_program(c), out, x, 0.25, true);
    sum_record(case_program(c), set, x, 1.0 / 65537, false);
    case_compare(c, out);
    case_compare(c, set);
}

static void l2_norm_case(Case *c, int64_t count) {
    Tensor *out = case_output(c, WIDE, SHAPE(1));
    l2_norm_of_record(case_program(c), out, case_input(c, WIDE, 0, 1, SHAPE(count)));
    case_compare(c, out);
}

static void l2_norm_one(Case *c) { l2_norm_case(c, 1); }
static void l2_norm_ragged(Case *c) { l2_norm_case(c, 1000003); }

static void copy_case(Case *c) {
    Tensor *x = case_input(c, NARROW, 0, 1, SHAPE(131, 7)),
           *wide = case_output(c, WIDE, SHAPE(131, 7));
    Tensor *sum = case_input(c, NARROW, 0, 1, SHAPE(131, 7));
    copy_record(case_program(c), wide, x, false);
    copy_record(case_program(c), sum, x, true);
    case_compare(c, wide);
    case_compare(c, sum);
}

static void adamw_case(Case *c, int64_t count, double clip, double gradient,
                       const AdamwRange *ranges, int n_ranges) {
    AdamwAttrs attrs = {.beta1 = 0.9,
                        .beta2 = 0.95,
                        .eps = 1e-8,
                        .lr_scale = 0.5,
                        .weight_decay = 0.1,
                        .clip = clip};
    bool narrow = case_role(c) == CASE_TESTED && case_dtype(c) != DTYPE_F32;
    Tensor *grad = case_input(c, WIDE, 0, gradient, SHAPE(count)),
           *norm = case_output(c, WIDE, SHAPE(1));
    Tensor *master = case_input(c, WIDE, 0, 1, SHAPE(count)),
           *m = case_input(c, WIDE, 0, 0.1, SHAPE(count));
    Tensor *v = case_input(c, WIDE, 1, 0.01, SHAPE(count)),
           *weight = case_output(c, NARROW, SHAPE(count));
    StepState step = some_step;
    step.loss_scale = 4;
    Tensor *state = case_step(c, step);
    l2_norm_of_record(case_program(c), norm, grad);
    if (narrow)
        copy_record(case_program(c), weight, master, false); /* weights outside the ranges stay */
    adamw_record(case_program(c), attrs,
                 (AdamwTensors){.grad = grad,
                                .norm = norm,
                                .step = state,
                                .weight = narrow ? weight : master,
                                .master = narrow ? master : NULL,
                                .m = m,
                                .v = v,
                                .ranges = ranges,
                                .n_ranges = n_ranges});
    if (!narrow) copy_record(case_program(c), weight, master, false);
    case_compare(c, weight);
    case_compare(c, master);
    case_compare(c, m);
    case_compare(c, v);
}

static void adamw_clipped(Case *c) { adamw_case(c, 100008, 1.0, 2.0, NULL, 0); }
static void adamw_ragged(Case *c) { adamw_case(c, 1237, 0, 0.1, NULL, 0); }

static void adamw_ranges(Case *c) {
    const AdamwRange ranges[] = {
        {64, 64, 1024}, {8192, 8192, 65536}, {99328, 99328, 0}, {99328, 99328, 672}};
    adamw_case(c, 100000, 1.0, 2.0, ranges, COUNT(ranges));
}

/* More than one launch can process. */
static void adamw_many_ranges(Case *c) {
    enum { RANGES = 150 };
    AdamwRange ranges[RANGES];
    for (int i = 0; i < RANGES; i++)
        ranges[i] = (AdamwRange){640 * i, 640 * i, i % 7 == 0 ? 640 : 512};
    adamw_case(c, 100000, 1.0, 2.0, ranges, RANGES);
}

const NamedCase product_cases[] = {
    CASE(linear_small), CASE(linear_ragged),      CASE(linear_plain),
    CASE(linear_gelu),  CASE(linear_gelu_ragged), CASE(linear_gelu_unbiased),
    CASE(linear_large), CASE(linear_evaluated),   CASE(mlp_aligned),
    CASE(mlp_ragged),
};
const NamedCase other_cases[] = {
    CASE(embedding_small),
    CASE(embedding_ragged),
    CASE(embedding_hot),
    CASE(embedding_one),
    CASE(embedding_wide),
    CASE(dropout_aligned),
    CASE(dropout_ragged),
    CASE(cross_entropy_padded),
    CASE(cross_entropy_gpt2),
    CASE(cross_entropy_rows),
    CASE(cross_entropy_ragged),
    CASE(l2_norm_one),
    CASE(l2_norm_ragged),
    CASE(cross_entropy_evaluated),
    CASE(softcap_padded),
    CASE(softcap_gpt2),
    CASE(softcap_rows),
    CASE(softcap_ragged),
    CASE(softcap_evaluated),
    CASE(sum_case),
    CASE(copy_case),
    CASE(adamw_clipped),
    CASE(adamw_ragged),
    CASE(adamw_ranges),
    CASE(adamw_many_ranges),
    CASE(embedding_ordered),
    CASE(embedding_ordered_wide),
};
const int n_product_cases = COUNT(product_cases), n_other_cases = COUNT(other_cases);
