#include "tests/core/record_layers_helper.h"

#include "core/ops/add.h"
#include "core/ops/gated.h"
#include "core/ops/linear.h"
#include "core/ops/mix.h"
#include "core/ops/norm.h"
#include "core/ops/relu2.h"
#include "core/ops/short_conv.h"
#include "core/passes/recompute.h"
#include "nn/attention/documents.h"

static const NormOptions layernorm = {NORM_LAYER, 1e-5}, rmsnorm = {NORM_RMS, 1e-5};

void record_norm(CaseRun *run) {
    const OpCase *op = run->op;
    Tensor *x = activation(run, "x"), *branch = op->branch ? activation(run, "branch") : NULL;
    Tensor *gamma = op->plain ? NULL : vector(run, "gamma", op->C, 1),
           *beta = op->bias ? vector(run, "beta", op->C, 0) : NULL, *sum = NULL;
    Tensor *y =
        norm_record(run->program, x, branch, gamma, beta, op->rms ? rmsnorm : layernorm, &sum);
    case_output(run, "y", y);
    if (op->branch) case_output(run, "sum", sum);
}

/* The residual sums of two blocks, each with other users, and a branch that is x itself. */
void record_residual(CaseRun *run) {
    const OpCase *op = run->op;
    Tensor *x = activation(run, "x"), *gamma_1 = vector(run, "gamma_1", op->C, 1);
    Tensor *gamma_2 = vector(run, "gamma_2", op->C, 1), *w = matrix(run, "w", op->C, op->C);
    NormOptions norm = op->rms ? rmsnorm : layernorm;
    Tensor *sum_1 = NULL, *sum_2 = NULL, *sum_3 = NULL;
    Tensor *y_1 = norm_record(run->program, x, x, gamma_1, NULL, norm, &sum_1);
    Tensor *y_2 = norm_record(run->program, sum_1, linear_record(run->program, y_1, w, NULL, false),
                              gamma_2, NULL, norm, &sum_2);
    Tensor *y_3 = norm_record(run->program, sum_2, y_1, gamma_1, NULL, norm, &sum_3);
    case_output(run, "y_2", y_2);
    case_output(run, "y_3", y_3);
    case_output(run, "sum", sum_3);
}

void record_relu2(CaseRun *run) {
    case_output(run, "y", relu2_record(run->program, activation(run, "x")));
}

/* C is 2F. */
void record_gated(CaseRun *run) {
    Tensor *pair = activation(run, "pair");
    case_output(run, "y", gated_record(run->program, pair, (GatedKind)run->op->kind));
}

/* Two activations that backward recomputes, each of a product; the gradient of ReLU^2 must not
 * change the one that it shares with a residual, and the pair has a second use. */
void record_activations_recomputed(CaseRun *run) {
    const OpCase *op = run->op;
    Program *p = run->program;
    Tensor *x = activation(run, "x"), *w = matrix(run, "w", 2 * op->N, op->C);
    Tensor *w_2 = matrix(run, "w_2", op->N, op->N), *w_3 = matrix(run, "w_3", op->C, 2 * op->N);
    Tensor *pair = linear_record(p, x, w, NULL, false);
    const Node *before = recompute_begin(p);
    Tensor *hidden = linear_record(p, gated_record(p, pair, (GatedKind)op->kind), w_2, NULL, false);
    recompute_end(p, before);
    before = recompute_begin(p);
    Tensor *sum = add_record(p, hidden, relu2_record(p, hidden));
    Tensor *y = linear_record(p, sum, w_2, NULL, false);
    recompute_end(p, before);
    case_output(run, "y", y);
    case_output(run, "z", linear_record(p, pair, w_3, NULL, false));
}

void record_mix(CaseRun *run) {
    Tensor *x = activation(run, "x"), *x0 = activation(run, "x0"), *s = vector(run, "s", 2, 1);
    case_output(run, "y", mix_record(run->program, x, x0, s));
}

/* The residual stream of three blocks: the first mixes x0 with itself. */
void record_mix_blocks(CaseRun *run) {
    const OpCase *op = run->op;
    Program *p = run->program;
    Tensor *x0 = activation(run, "x0"), *w = matrix(run, "w", op->C, op->C), *x = x0;
    static const char *const names[] = {"s_0", "s_1", "s_2"};
    for (int i = 0; i < 3; i++) {
        Tensor *mixed = mix_record(p, x, x0, vector(run, names[i], 2, 1));
        x = add_record(p, mixed, linear_record(p, mixed, w, NULL, false));
    }
    case_output(run, "y", x);
}

/* Gradients that several tensors share: a sum of x with itself, and of results that have other
 * uses. */
void record_add(CaseRun *run) {
    const OpCase *op = run->op;
    Program *p = run->program;
    Tensor *x = activation(run, "x"), *b = activation(run, "b"),
           *w = matrix(run, "w", op->C, op->C);
    Tensor *twice = add_record(p, x, x), *hidden = linear_record(p, twice, w, NULL, false);
    Tensor *sum = add_record(p, hidden, b);
    case_output(run, "sum", sum);
    case_output(run, "y", relu2_record(p, add_record(p, sum, twice)));
    case_output(run, "z", linear_record(p, sum, w, NULL, false));
}

/* N taps; with a vocabulary, token 0 ends a document. `branch`: the input has a second use. */
void record_short_conv(CaseRun *run) {
    const OpCase *op = run->op;
    Tensor *h = activation(run, "h"), *w = case_weight(run, "w", SHAPE(op->N, op->C), 0, 1);
    Tensor *documents = op->V == 0 ? NULL : documents_record(run->program, run->tokens, 0);
    Tensor *x = op->branch ? relu2_record(run->program, h) : h;
    case_output(run, "y", short_conv_record(run->program, x, w, documents));
    if (op->branch) case_output(run, "x", x);
}
