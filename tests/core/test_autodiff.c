/* The structure of a recorded gradient: no unnecessary copies or gradients, and sticky errors.
 * tests/core/test_gradients.c checks its values. */
#include "core/autodiff.h"
#include "core/ops/add.h"
#include "core/ops/dropout.h"
#include "core/ops/embedding.h"
#include "core/ops/gated.h"
#include "core/ops/gelu.h"
#include "core/ops/linear.h"
#include "core/ops/mix.h"
#include "core/ops/norm.h"
#include "core/ops/reduce.h"
#include "nn/attention/attention.h"
#include "nn/loss.h"
#include "tests/core/ops_cases_helper.h"
#include "tests/harness.h"

#include <string.h>

static const Target cpu = {.kind = DEVICE_CPU, .threads = 1};

static int count_ops(const Program *p, const char *name) {
    int count = 0;
    for (int i = 0; i < p->n_nodes; i++) count += strcmp(node_name(p->nodes[i]), name) == 0;
    return count;
}

static const OpCase *case_named(const char *name) {
    for (int i = 0; i < n_op_cases; i++) {
        if (strcmp(op_cases[i].name, name) == 0) return &op_cases[i];
    }
    return NULL;
}

static int case_count_ops(const char *name, const char *op) {
    CaseRun *run = NULL;
    int count = CHECK_OK(case_create(case_named(name), cpu, DTYPE_F32, false, &run))
                    ? count_ops(run->program, op)
                    : -1;
    case_destroy(&run);
    return count;
}

static Tensor *leaf(Program *p, int64_t rows, int64_t columns) {
    Tensor *t = program_tensor(p, BUFFER_ACTIVATIONS, DTYPE_F32, 2, (int64_t[]){rows, columns});
    if (t != NULL) t->needs_grad = true;
    return t;
}

static Program *program_new(bool training) {
    Program *p = NULL;
    return CHECK_OK(program_create(cpu, training, &p)) ? p : NULL;
}

/* The gradient of the GELU is fused with the product that has just set dy, and with no other. */
static void gelu_joins_the_product(void) {
    CHECK(case_count_ops("mlp", "gelu_backward") == 0);
    CHECK(case_count_ops("gelu_twice", "gelu_backward") == 1);
    CHECK(case_count_ops("linear_gelu", "gelu_backward") == 1);
    CHECK(case_count_ops("gelu_residual", "gelu_backward") == 1);
}

static Tensor *leaf_vector(Program *p, int64_t count) {
    Tensor *t = program_tensor(p, BUFFER_ACTIVATIONS, DTYPE_F32, 1, &count);
    if (t != NULL) t->needs_grad = true;
    return t;
}

static const NormOptions layernorm = {NORM_LAYER, 1e-5};

/* A pre-layernorm block: x and the branch share a gradient. The branch reads it before more is
 * added for x. */
static void blocks_share_without_copies(void) {
    Program *p = program_new(true);
    Tensor *x = leaf(p, 4, 8), *w = leaf(p, 8, 8), *gamma = leaf_vector(p, 8), *sum = NULL;
    Tensor *branch =
        linear_record(p, norm_record(p, x, NULL, gamma, NULL, layernorm, &sum), w, NULL, false);
    Tensor *y = norm_record(p, sum, branch, gamma, NULL, layernorm, &sum);
    autodiff_watch(p, y, leaf(p, 4, 8), true);
    autodiff_run(p);
    CHECK_OK(program_status(p));
    CHECK(count_ops(p, "copy") == 0);
    CHECK(autodiff_gradient(p, x) != NULL &&
          autodiff_gradient(p, x) == autodiff_gradient(p, branch));
    program_destroy(&p);
}

/* The product of the branch adds to x's gradient while it reads the branch's: they must be two
 * tensors. */
static void products_do_not_read_what_they_write(void) {
    Program *p = program_new(true);
    Tensor *x = leaf(p, 4, 8), *w = leaf(p, 8, 8), *gamma = leaf_vector(p, 8), *sum = NULL;
    Tensor *y =
        norm_record(p, x, linear_record(p, x, w, NULL, false), gamma, NULL, layernorm, &sum);
    autodiff_watch(p, y, leaf(p, 4, 8), true);
    autodiff_run(p);
    CHECK_OK(program_status(p));
    CHECK(count_ops(p, "copy") == 1);
    CHECK(autodiff_gradient(p, x) != autodiff_gradient(p, sum));
    program_destroy(&p);
}

/* While the gradient of the branch is still needed, a second use of x must not add to the shared
 * memory. */
static void unshares_before_adding(void) {
    Program *p = program_new(true);
    Tensor *x = leaf(p, 4, 8), *branch = leaf(p, 4, 8), *shared = leaf(p, 4, 8);
    autodiff_share(p, x, shared);
    autodiff_share(p, branch, shared);
    GradTarget target = autodiff_target(p, x);
    CHECK(target.accumulate && target.grad != shared && autodiff_gradient(p, branch) == shared);
    CHECK(count_ops(p, "copy") == 1);
    CHECK(autodiff_target(p, branch).grad == shared); /* now its only user */
    program_destroy(&p);
}

/* Sums of other gradients and in-place ops never change a watched gradient. */
static void watched_gradients_are_kept(void) {
    Program *p = program_new(true);
    Tensor *x = leaf(p, 4, 8), *watched = leaf(p, 4, 8), *t = leaf(p, 4, 8);
    autodiff_watch(p, t, watched, true);
    CHECK(autodiff_exclusive(p, t) != watched);
    autodiff_watch(p, t, watched, true);
    autodiff_share(p, x, watched);
    CHECK(autodiff_target(p, x).grad != watched);
    program_destroy(&p);
}

/* This also holds if the walk has passed the watched tensor: h shares the gradient of the sum, and
 * more is added to it later. */
static void watched_gradients_are_kept_to_the_end(void) {
    Program *p = program_new(true);
    Tensor *w = leaf(p, 8, 8), *watched = leaf(p, 4, 8), *sum = NULL;
    Tensor *h = linear_record(p, leaf(p, 4, 8), w, NULL, false),
           *other = linear_record(p, h, w, NULL, false);
    Tensor *branch = leaf(p, 4, 8);
    branch->needs_grad = false;
    norm_record(p, h, branch, leaf_vector(p, 8), NULL, layernorm, &sum);
    int n_forward = p->n_nodes;
    autodiff_watch(p, other, leaf(p, 4, 8), true);
    autodiff_watch(p, sum, watched, true);
    autodiff_run(p);
    CHECK_OK(program_status(p));
    CHECK(autodiff_gradient(p, h) != watched && p->n_nodes > n_forward);
    for (int i = n_forward; i < p->n_nodes; i++) CHECK(p->nodes[i]->outputs[0] != watched);
    program_destroy(&p);
}

/* Only tensors that need a gradient get one. */
static void frozen_inputs_cost_nothing(void) {
    Program *p = program_new(true);
    Tensor *x = leaf(p, 4, 8), *w = leaf(p, 8, 8);
    x->needs_grad = false;
    Tensor *y = linear_record(p, x, w, NULL, false);
    autodiff_watch(p, y, leaf(p, 4, 8), true);
    autodiff_run(p);
    CHECK(count_ops(p, "linear_dw") == 1 && count_ops(p, "linear_dx") == 0);
    CHECK(autodiff_gradient(p, x) == NULL);
    program_destroy(&p);
}

static void evaluation_keeps_nothing(void) {
    Program *p = program_new(false);
    Tensor *y = linear_record(p, leaf(p, 4, 8), leaf(p, 8, 8), NULL, true);
    CHECK(y != NULL && !y->needs_grad && p->nodes[0]->outputs[1] == NULL);
    CHECK(dropout_record(p, y, 0.5, NULL) == y);
    program_destroy(&p);
}

/* After the first failure everything returns NULL and accepts NULL, and the first message stays. */
static void errors_stick(void) {
    Program *p = program_new(true);
    KernelChoice choice = {0};
    AttentionOptions options = {.choice = &choice, .NH = 2};
    LossOptions loss = {.V = 3};
    Tensor *sum = NULL;
    program_label(p, "h.%d.mlp", 3);
    Tensor *y = linear_record(p, leaf(p, 4, 8), leaf(p, 5, 7), NULL, false);
    CHECK(y == NULL);
    y = norm_record(p, y, y, leaf(p, 1, 9), NULL, layernorm, &sum);
    y = dropout_record(p, y, 0.1, NULL);
    y = attention_record(p, linear_record(p, y, y, y, true), &options);
    CHECK(y == NULL && sum == NULL);
    CHECK(embedding_record(p, NULL, NULL, NULL) == NULL);
    loss_record(p, NULL, y, NULL, NULL, &loss);
    CHECK(program_rows(p, NULL, 0, 1) == NULL &&
          program_tensor_like(p, BUFFER_LOGITS, NULL) == NULL);
    CHECK(autodiff_target(p, NULL).grad == NULL && autodiff_exclusive(p, NULL) == NULL);
    sum_record(p, NULL, NULL, 1, false);
    l2_norm_of_record(p, NULL, NULL);
    gelu_backward_record(p, NULL, NULL);
    linear_gradient_record(p, NULL, NULL, NULL, NULL);
    autodiff_watch(p, NULL, NULL, false);
    autodiff_share(p, NULL, NULL);
    autodiff_run(p);
    CHECK(p->n_nodes == 0);
    program_fail(p, STATUS_DATA, "a later failure");
    CHECK_ERROR(program_status(p), STATUS_CONFIG,
                "h.3.mlp: linear: input f32 (4, 8) does not fit weight f32 (5, 7)");
    program_destroy(&p);
}

static void bad_shapes_are_named(void) {
    Program *p = program_new(true);
    Tensor *tokens = program_tensor(p, BUFFER_INPUTS, DTYPE_I32, 2, (int64_t[]){1, 9}), *sum = NULL;
    embedding_record(p, tokens, leaf(p, 10, 4), leaf(p, 8, 4));
    CHECK_ERROR(program_status(p), STATUS_CONFIG,
                "9 positions, but the model has 8 (model.block_size)");
    program_destroy(&p);
    p = program_new(true);
    norm_record(p, leaf(p, 4, 8), NULL, leaf(p, 1, 9), NULL, layernorm, &sum);
    CHECK_ERROR(program_status(p), STATUS_CONFIG,
                "layernorm: input f32 (4, 8) does not fit gamma f32 (1, 9)");
    program_destroy(&p);
    p = program_new(true);
    norm_record(p, leaf(p, 4, 8), NULL, leaf(p, 1, 8), leaf(p, 1, 8), (NormOptions){NORM_RMS, 1e-5},
                &sum);
    CHECK_ERROR(program_status(p), STATUS_CONFIG, "rmsnorm: beta needs layernorm with gamma");
    program_destroy(&p);
    p = program_new(true);
    gated_record(p, leaf(p, 4, 9), GATED_SILU);
    CHECK_ERROR(program_status(p), STATUS_CONFIG, "the columns of f32 (4, 9) are not gate and up");
    program_destroy(&p);
    p = program_new(true);
    mix_record(p, leaf(p, 4, 8), leaf(p, 4, 8), leaf(p, 1, 3));
    CHECK_ERROR(program_status(p), STATUS_CONFIG,
                "mix: f32 (4, 8), f32 (4, 8) and scalars f32 (1, 3) do not fit together");
    program_destroy(&p);
    p = program_new(true);
    add_record(p, leaf(p, 4, 8), leaf(p, 8, 4));
    CHECK_ERROR(program_status(p), STATUS_CONFIG, "add: f32 (4, 8) and f32 (8, 4) differ in shape");
    program_destroy(&p);
    p = program_new(true);
    program_rows(p, leaf(p, 4, 8), 3, 2);
    CHECK_ERROR(program_status(p), STATUS_FAILURE, "rows 3 to 5 are outside of f32 (4, 8)");
    program_destroy(&p);
    p = program_new(true);
    program_tensor(p, BUFFER_LOGITS, DTYPE_F64, 3, (int64_t[]){INT64_MAX / 2, 8, 8});
    CHECK_ERROR(program_status(p), STATUS_CONFIG, "too large to address");
    program_destroy(&p);
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(gelu_joins_the_product),
        TEST(blocks_share_without_copies),
        TEST(products_do_not_read_what_they_write),
        TEST(unshares_before_adding),
        TEST(watched_gradients_are_kept),
        TEST(watched_gradients_are_kept_to_the_end),
        TEST(frozen_inputs_cost_nothing),
        TEST(evaluation_keeps_nothing),
        TEST(errors_stick),
        TEST(bad_shapes_are_named),
    };
    return harness_run(argc, argv, "autodiff", tests, COUNT(tests));
}
