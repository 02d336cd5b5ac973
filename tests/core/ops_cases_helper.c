#include "tests/core/ops_cases_helper.h"

#include "core/ops/dropout.h"
#include "core/ops/embedding.h"
#include "core/ops/gated.h"
#include "core/ops/gelu.h"
#include "core/ops/linear.h"
#include "core/ops/norm.h"
#include "core/ops/qk.h"
#include "core/ops/rope.h"
#include "core/ops/value_embedding.h"
#include "core/passes/recompute.h"
#include "nn/attention/attention.h"
#include "nn/loss.h"
#include "tests/core/record_layers_helper.h"

#include <math.h>

static const NormOptions layernorm = {NORM_LAYER, 1e-5};

/* y = linear(x), or its GELU. The gradient of the GELU is a separate op, because no product has
 * written dy. */
static void record_linear(CaseRun *run) {
    const OpCase *op = run->op;
    Tensor *x = activation(run, "x"), *w = matrix(run, "w", op->N, op->C);
    Tensor *bias = op->bias ? vector(run, "bias", op->N, 0) : NULL;
    case_output(run, "y", linear_record(run->program, x, w, bias, op->gelu));
}

/* The MLP: the gradient of the GELU is fused with the product before it. */
static void record_mlp(CaseRun *run) {
    const OpCase *op = run->op;
    Tensor *x = activation(run, "x"), *w_fc = matrix(run, "w_fc", op->N, op->C);
    Tensor *w_proj = matrix(run, "w_proj", op->C, op->N);
    Tensor *b_fc = op->bias ? vector(run, "b_fc", op->N, 0) : NULL;
    Tensor *b_proj = op->bias ? vector(run, "b_proj", op->C, 0) : NULL;
    Tensor *hidden = linear_record(run->program, x, w_fc, b_fc, true);
    case_output(run, "y", linear_record(run->program, hidden, w_proj, b_proj, false));
}

/* A GELU whose output is used twice: its gradient cannot be fused with a product that only adds to
 * dy. */
static void record_gelu_twice(CaseRun *run) {
    const OpCase *op = run->op;
    Tensor *x = activation(run, "x"), *w = matrix(run, "w", op->N, op->C);
    Tensor *w_1 = matrix(run, "w_1", op->C, op->N), *w_2 = matrix(run, "w_2", op->C, op->N);
    Tensor *hidden = linear_record(run->program, x, w, NULL, true);
    case_output(run, "y_1", linear_record(run->program, hidden, w_1, NULL, false));
    case_output(run, "y_2", linear_record(run->program, hidden, w_2, NULL, false));
}

/* A GELU as the branch of a residual: both terms share a gradient, which the gradient of the GELU
 * must not change in place. */
static void record_gelu_residual(CaseRun *run) {
    const OpCase *op = run->op;
    Tensor *x = activation(run, "x"), *w = matrix(run, "w", op->C, op->C),
           *gamma = vector(run, "gamma", op->C, 1);
    Tensor *w_2 = matrix(run, "w_2", op->N, op->C), *w_0 = matrix(run, "w_0", op->C, op->C),
           *sum = NULL;
    Tensor *below = linear_record(run->program, x, w_0, NULL, false);
    Tensor *hidden = linear_record(run->program, x, w, NULL, true);
    norm_record(run->program, below, hidden, gamma, NULL, layernorm, &sum);
    case_output(run, "y", linear_record(run->program, sum, w_2, NULL, false));
}

/* The GELU as a separate op, before a product and after a residual. */
static void record_gelu_alone(CaseRun *run) {
    const OpCase *op = run->op;
    Tensor *x = activation(run, "x"), *w = matrix(run, "w", op->N, op->C),
           *gamma = vector(run, "gamma", op->C, 1);
    Tensor *y = gelu_record(run->program, x), *sum = NULL;
    norm_record(run->program, x, gelu_record(run->program, y), gamma, NULL, layernorm, &sum);
    case_output(run, "y", linear_record(run->program, y, w, NULL, false));
    case_output(run, "sum", sum);
}

/* One tensor with three users of different kinds. */
static void record_three_uses(CaseRun *run) {
    const OpCase *op = run->op;
    Tensor *x = activation(run, "x"), *w = matrix(run, "w", op->C, op->C),
           *gamma = vector(run, "gamma", op->C, 1);
    Tensor *sum = NULL, *again = NULL;
    Tensor *hidden = linear_record(run->program, x, w, NULL, false);
    Tensor *normal = norm_record(run->program, hidden, NULL, gamma, NULL, layernorm, &again);
    case_output(run, "a", linear_record(run->program, hidden, w, NULL, true));
    case_output(run, "b", norm_record(run->program, hidden, normal, gamma, NULL, layernorm, &sum));
    case_output(run, "c", dropout_record(run->program, hidden, 0.5, run->step));
}

static void record_embedding(CaseRun *run) {
    const OpCase *op = run->op;
    Tensor *wte = matrix(run, "wte", op->V, op->C), *wpe = matrix(run, "wpe", op->T + 2, op->C);
    case_output(run, "x", embedding_record(run->program, run->tokens, wte, wpe));
}

static void record_dropout(CaseRun *run) {
    case_output(run, "y",
                dropout_record(run->program, activation(run, "x"), run->op->dropout, run->step));
}

static void record_loss(CaseRun *run) {
    const OpCase *op = run->op;
    Tensor *x = activation(run, "x"), *wte = matrix(run, "wte", op->N, op->C);
    double scale = 1.0 / (double)(op->B * op->T);
    LossOptions options = {.V = op->V, .scale = scale, .step = run->step, .softcap = op->softcap};
    options.logits_bytes = (size_t)(op->chunk_rows * op->N) * dtype_size(run->dtype);
    DType dtype = run->dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
    Tensor *losses = program_tensor(run->program, BUFFER_ACTIVATIONS, dtype, SHAPE(op->B, op->T));
    loss_record(run->program, losses, x, wte, run->tokens, &options);
    case_losses(run, losses, scale);
}

static void record_attention(CaseRun *run) {
    const OpCase *op = run->op;
    KernelChoice choice = {.count = 1, .names = {op->backend}};
    AttentionOptions options = {
        .choice = &choice, .NH = op->N, .dropout = op->dropout, .step = run->step};
    Tensor *qkv = case_activation(run, "qkv", SHAPE(op->B, op->T, 3 * op->C), 2);
    case_output(run, "out", attention_record(run->program, qkv, &options));
}

/* qkv has a second use, so attention's gradient is added to an existing one. */
static void record_attention_shared(CaseRun *run) {
    const OpCase *op = run->op;
    KernelChoice choice = {.count = 1, .names = {op->backend}};
    AttentionOptions options = {
        .choice = &choice, .NH = op->N, .dropout = op->dropout, .step = run->step};
    Tensor *x = activation(run, "x"), *w = matrix(run, "w", 3 * op->C, op->C);
    Tensor *w_2 = matrix(run, "w_2", op->C, 3 * op->C);
    Tensor *qkv = linear_record(run->program, x, w, NULL, false);
    case_output(run, "out", attention_record(run->program, qkv, &options));
    case_output(run, "y", linear_record(run->program, qkv, w_2, NULL, false));
}

static void record_lookup(CaseRun *run) {
    const OpCase *op = run->op;
    Tensor *wte = matrix(run, "wte", op->V, op->C);
    case_output(run, "x", embedding_record(run->program, run->tokens, wte, NULL));
}

/* Two lookups of the same tokens, the first of them with positions. */
static void record_two_lookups(CaseRun *run) {
    const OpCase *op = run->op;
    Tensor *wte = matrix(run, "wte", op->V, op->C), *wpe = matrix(run, "wpe", op->T, op->C);
    Tensor *table = matrix(run, "table", op->V, op->N);
    case_output(run, "x", embedding_record(run->program, run->tokens, wte, wpe));
    case_output(run, "y", embedding_record(run->program, run->tokens, table, NULL));
}

/* A table for `rows` positions with frequencies 50^(-i / pairs); NULL without pairs. */
static Tensor *rope_table(CaseRun *run, int64_t rows) {
    RopeFrequencies f = {.pairs = (int)run->op->pairs, .magnitude = 1.25};
    if (f.pairs == 0) return NULL;
    for (int i = 0; i < f.pairs; i++) f.radians[i] = pow(50, -(double)i / f.pairs);
    DType dtype = run->dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
    return rope_table_record(run->program, &f, NULL, rows, dtype);
}

static int64_t packed_columns(const OpCase *op) { return (op->N + 2 * op->NH_kv) * op->HS; }

static Tensor *packed(CaseRun *run) {
    const OpCase *op = run->op;
    return case_activation(run, "qkv", SHAPE(op->B, op->T, packed_columns(op)), 2);
}

static Tensor *qk_of(CaseRun *run, Tensor *qkv, Tensor *table) {
    const OpCase *op = run->op;
    QkOptions options = {op->N, op->NH_kv, op->HS, op->norm, 1e-6};
    Tensor *q_gamma = op->bias ? vector(run, "q_gamma", op->HS, 1) : NULL;
    Tensor *k_gamma = op->bias ? vector(run, "k_gamma", op->HS, 1) : NULL;
    return qk_record(run->program, qkv, table, q_gamma, k_gamma, &options);
}

static void record_qk(CaseRun *run) {
    const OpCase *op = run->op;
    Tensor *table = rope_table(run, op->branch ? op->B * op->T : op->T);
    case_output(run, "y", qk_of(run, packed(run), table));
}

/* qkv has a second use, so backward copies its gradient. Only a norm keeps qkv as it is. */
static void record_qk_shared(CaseRun *run) {
    const OpCase *op = run->op;
    Tensor *x = activation(run, "x"), *w = matrix(run, "w", packed_columns(op), op->C);
    Tensor *qkv = linear_record(run->program, x, w, NULL, false);
    case_output(run, "y", qk_of(run, qkv, rope_table(run, op->T)));
    case_output(run, "qkv", qkv);
}

static Tensor *value_embedding_of(CaseRun *run, Tensor *qkv, Tensor *e) {
    const OpCase *op = run->op;
    Tensor *gate = vector(run, "gate", op->NH_kv, 1);
    return value_embedding_record(run->program, qkv, e, gate, op->N, op->NH_kv, op->HS);
}

static void record_value_embedding(CaseRun *run) {
    const OpCase *op = run->op;
    Tensor *qkv = packed(run);
    Tensor *e = case_activation(run, "e", SHAPE(op->B, op->T, op->NH_kv * op->HS), 2);
    case_output(run, "y", value_embedding_of(run, qkv, e));
}

/* A block whose qkv changes in place twice, and which backward recomputes. */
static void record_qk_recomputed(CaseRun *run) {
    const OpCase *op = run->op;
    KernelChoice choice = {.count = 1, .names = {"math"}};
    AttentionOptions options = {.choice = &choice, .NH = op->N, .step = run->step};
    Tensor *x = activation(run, "x"), *w = matrix(run, "w", packed_columns(op), op->C);
    Tensor *w_0 = matrix(run, "w_0", op->C, op->C);
    Tensor *table = rope_table(run, op->T), *values = matrix(run, "values", op->V, op->C);
    Tensor *hidden = linear_record(run->program, x, w_0, NULL, false);
    const Node *before = recompute_begin(run->program);
    Tensor *qkv = linear_record(run->program, hidden, w, NULL, false);
    Tensor *e = embedding_record(run->program, run->tokens, values, NULL);
    qkv = qk_of(run, value_embedding_of(run, qkv, e), table);
    Tensor *out = attention_record(run->program, qkv, &options);
    Tensor *y = linear_record(run->program, out, w_0, NULL, false);
    recompute_end(run->program, before);
    case_output(run, "y", y);
}

#define LINEAR(b, t, c, n) .record = record_linear, .B = (b), .T = (t), .C = (c), .N = (n)
#define MLP(b, t, c, n) .record = record_mlp, .B = (b), .T = (t), .C = (c), .N = (n)
#define NORM(b, t, c) .record = record_norm, .B = (b), .T = (t), .C = (c)
#define RELU2(b, t, c) .record = record_relu2, .B = (b), .T = (t), .C = (c)
#define GATED(which, b, t, f)                                                                      \
    .record = record_gated, .B = (b), .T = (t), .C = 2 * (f), .kind = (which)
#define MIX(b, t, c) .record = record_mix, .B = (b), .T = (t), .C = (c)
#define CONV(b, t, c, taps) .record = record_short_conv, .B = (b), .T = (t), .C = (c), .N = (taps)
#define LOOKUP(b, t, c, v) .record = record_embedding, .B = (b), .T = (t), .C = (c), .V = (v)
#define DROPOUT(b, t, c, p) .record = record_dropout, .B = (b), .T = (t), .C = (c), .dropout = (p)
#define LOSS(b, t, c, v, vp, rows)                                                                 \
    .record = record_loss, .B = (b), .T = (t), .C = (c), .V = (v), .N = (vp), .chunk_rows = (rows)
#define HEADS(b, t, nh, nh_kv, hs, n_pairs)                                                        \
    .B = (b), .T = (t), .N = (nh), .NH_kv = (nh_kv), .HS = (hs), .pairs = (n_pairs)
#define QK(...) .record = record_qk, HEADS(__VA_ARGS__)
#define VALUES(b, t, nh, nh_kv, hs) .record = record_value_embedding, HEADS(b, t, nh, nh_kv, hs, 0)
#define RECOMPUTED(hs)                                                                             \
    .record = record_qk_recomputed, HEADS(2, 5, 2, 2, hs, (hs) / 2), .C = 2 * (hs), .V = 7
#define ATTENTION(which, b, t, nh, hs)                                                             \
    .record = record_attention, .B = (b), .T = (t), .N = (nh), .C = (nh) * (hs), .backend = (which)
#define ATTENTION_CASES(which)                                                                     \
    {.name = "attention_" which "_1", ATTENTION(which, 1, 1, 1, 1)},                               \
        {.name = "attention_" which "_5", ATTENTION(which, 2, 5, 2, 3)},                           \
        {.name = "attention_" which "_63", ATTENTION(which, 1, 63, 2, 8)},                         \
        {.name = "attention_" which "_64", ATTENTION(which, 1, 64, 1, 16)},                        \
        {.name = "attention_" which "_65", ATTENTION(which, 2, 65, 2, 4)},                         \
        {.name = "attention_" which "_131", ATTENTION(which, 1, 131, 2, 8)},                       \
        {.name = "attention_" which "_dropout", ATTENTION(which, 2, 70, 2, 5), .dropout = 0.3}, {  \
        .name = "attention_" which "_shared", .record = record_attention_shared, .B = 2, .T = 7,   \
        .N = 2, .C = 8, .backend = (which)                                                         \
    }

const OpCase op_cases[] = {
    {.name = "linear_1", LINEAR(1, 1, 1, 1)},
    {.name = "linear_ragged", LINEAR(2, 3, 5, 7), .bias = true},
    {.name = "linear_no_bias", LINEAR(3, 17, 33, 65)},
    {.name = "linear_bias", LINEAR(2, 32, 32, 64), .bias = true},
    {.name = "linear_gelu", LINEAR(2, 9, 16, 24), .gelu = true},
    {.name = "linear_gelu_bias", LINEAR(1, 21, 19, 13), .gelu = true, .bias = true},
    {.name = "mlp", MLP(2, 8, 16, 64)},
    {.name = "mlp_bias", MLP(3, 5, 24, 96), .bias = true},
    {.name = "gelu_twice", .record = record_gelu_twice, .B = 2, .T = 5, .C = 8, .N = 16},
    {.name = "gelu_residual", .record = record_gelu_residual, .B = 2, .T = 5, .C = 8, .N = 16},
    {.name = "gelu_alone", .record = record_gelu_alone, .B = 2, .T = 5, .C = 8, .N = 16},
    {.name = "layernorm", NORM(2, 5, 16)},
    {.name = "layernorm_beta", NORM(1, 3, 33), .bias = true},
    {.name = "layernorm_branch", NORM(3, 17, 24), .branch = true},
    {.name = "layernorm_branch_beta", NORM(2, 37, 64), .branch = true, .bias = true},
    {.name = "layernorm_two_columns", NORM(1, 2, 2), .branch = true, .bias = true},
    {.name = "layernorm_plain", NORM(2, 5, 16), .branch = true, .plain = true},
    {.name = "rmsnorm", NORM(1, 3, 33), .rms = true},
    {.name = "rmsnorm_branch", NORM(3, 17, 24), .branch = true, .rms = true},
    {.name = "rmsnorm_many_rows", NORM(2, 37, 64), .rms = true},
    {.name = "rmsnorm_plain", NORM(2, 5, 16), .rms = true, .plain = true},
    {.name = "rmsnorm_plain_branch", NORM(1, 2, 3), .branch = true, .rms = true, .plain = true},
    {.name = "rmsnorm_residual", .record = record_residual, .B = 2, .T = 5, .C = 16, .rms = true},
    {.name = "residual", .record = record_residual, .B = 2, .T = 5, .C = 16},
    {.name = "three_uses", .record = record_three_uses, .B = 2, .T = 5, .C = 8},
    {.name = "embedding_1", LOOKUP(1, 1, 1, 1)},
    {.name = "embedding_ragged", LOOKUP(3, 7, 5, 11)},
    {.name = "embedding_repeats", LOOKUP(4, 32, 72, 3)},
    {.name = "dropout_ragged", DROPOUT(3, 5, 7, 0.1)},
    {.name = "dropout_half", DROPOUT(2, 8, 16, 0.5)},
    {.name = "loss_one_chunk", LOSS(2, 9, 8, 29, 32, 1000)},
    {.name = "loss_chunks", LOSS(3, 7, 8, 61, 64, 5)},
    {.name = "loss_row_chunks", LOSS(1, 5, 6, 7, 7, 1)},
    {.name = "loss_whole_tiles", LOSS(2, 290, 4, 13, 16, 300)},
    {.name = "loss_two_tokens", LOSS(2, 4, 4, 2, 8, 3)},
    {.name = "loss_softcap", LOSS(2, 9, 8, 29, 32, 1000), .softcap = 2},
    {.name = "loss_softcap_chunks", LOSS(3, 7, 8, 61, 64, 5), .softcap = 0.75},
    {.name = "lookup", .record = record_lookup, .B = 3, .T = 7, .C = 5, .V = 11},
    {.name = "two_lookups", .record = record_two_lookups, .B = 3, .T = 7, .C = 5, .N = 9, .V = 11},
    {.name = "rope", QK(2, 5, 4, 2, 8, 4)},
    {.name = "rope_partial", QK(2, 3, 4, 1, 10, 3)},
    {.name = "rope_rows", QK(2, 3, 2, 2, 6, 3), .branch = true},
    {.name = "qk_norm", QK(2, 3, 4, 4, 6, 0), .norm = true},
    {.name = "qk_norm_gamma", QK(2, 3, 4, 2, 5, 0), .norm = true, .bias = true},
    {.name = "qk_norm_rope", QK(2, 5, 4, 1, 8, 4), .norm = true},
    {.name = "qk_norm_rope_gamma", QK(2, 20, 4, 2, 12, 4), .norm = true, .bias = true},
    {.name = "qk_norm_shared",
     .record = record_qk_shared,
     HEADS(2, 3, 2, 1, 6, 2),
     .C = 5,
     .norm = true,
     .bias = true},
    {.name = "value_embedding", VALUES(2, 5, 4, 2, 6)},
    {.name = "value_embedding_one", VALUES(3, 50, 2, 1, 3)},
    {.name = "rope_recomputed", RECOMPUTED(4)},
    {.name = "qk_norm_recomputed", RECOMPUTED(4), .norm = true, .bias = true},
    {.name = "relu2", RELU2(2, 5, 16)},
    {.name = "relu2_ragged", RELU2(3, 7, 11)},
    {.name = "swiglu", GATED(GATED_SILU, 2, 5, 16)},
    {.name = "swiglu_ragged", GATED(GATED_SILU, 3, 7, 1)},
    {.name = "geglu", GATED(GATED_GELU, 2, 5, 16)},
    {.name = "geglu_ragged", GATED(GATED_GELU, 1, 3, 13)},
    {.name = "swiglu_recomputed",
     .record = record_activations_recomputed,
     .B = 2,
     .T = 5,
     .C = 8,
     .N = 12,
     .kind = GATED_SILU},
    {.name = "geglu_recomputed",
     .record = record_activations_recomputed,
     .B = 2,
     .T = 3,
     .C = 7,
     .N = 5,
     .kind = GATED_GELU},
    {.name = "mix", MIX(2, 5, 16)},
    {.name = "mix_ragged", MIX(3, 37, 11)},
    {.name = "mix_blocks", .record = record_mix_blocks, .B = 2, .T = 5, .C = 8},
    {.name = "add", .record = record_add, .B = 2, .T = 5, .C = 8},
    {.name = "short_conv", CONV(2, 7, 5, 3)},
    {.name = "short_conv_two", CONV(3, 37, 4, 2), .branch = true},
    {.name = "short_conv_short", CONV(5, 2, 3, 4)},
    {.name = "short_conv_documents", CONV(2, 23, 3, 4), .V = 5},
    ATTENTION_CASES("baseline"),
    ATTENTION_CASES("math"),
    ATTENTION_CASES("mem_efficient"),
    ATTENTION_CASES("flash"),
};
const int n_op_cases = sizeof op_cases / sizeof op_cases[0];
