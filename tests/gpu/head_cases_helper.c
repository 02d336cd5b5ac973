/* Cases of the ops on the heads of a packed qkv, and of lookups that share an order. */
#include "core/ops/embedding.h"
#include "core/ops/qk.h"
#include "core/ops/rope.h"
#include "core/ops/scatter_rows.h"
#include "core/ops/value_embedding.h"
#include "tests/gpu/op_cases_helper.h"

#include <math.h>

/* Two lookups, which share one sorted order on a GPU; the second has no positions. */
static void lookups_case(Case *c, int64_t B, int64_t T, int64_t V, int64_t C) {
    Program *p = case_program(c);
    Tensor *tokens = case_tokens(c, V, SHAPE(B, T));
    Tensor *wte = case_parameter(c, 0, 1, false, SHAPE(V, C)),
           *wpe = case_parameter(c, 0, 1, false, SHAPE(T, C));
    Tensor *values = case_parameter(c, 0, 1, true, SHAPE(V, C));
    Tensor *x = embedding_record(p, tokens, wte, wpe), *again = tokens;
    if (case_role(c) != CASE_TESTED) /* the order is a node on a GPU alone */
        again = program_view(p, tokens->buffer, tokens->offset, DTYPE_I32, SHAPE(B, T));
    autodiff_watch(p, x, case_input(c, NARROW, 0, 1, SHAPE(B, T, C)), true);
    case_differentiate(c, embedding_record(p, again, values, NULL));
}

static void lookups_aligned(Case *c) { lookups_case(c, 7, 300, 5000, 64); }
static void lookups_ragged(Case *c) { lookups_case(c, 5, 40, 7, 19); }

typedef struct QkCase {
    int64_t B, T, NH, NH_kv, HS, pairs;
    bool norm, gamma, accumulate, own_rows; /* own_rows: a row of the table per token */
} QkCase;

/* Frequencies 1000^(-i / pairs), and as many positions as a row of tokens has. */
static Tensor *rope_table_of(Case *c, const QkCase *q, const Tensor *qkv) {
    RopeFrequencies f = {.pairs = (int)q->pairs, .magnitude = 1.125};
    if (q->pairs == 0) return NULL;
    for (int i = 0; i < f.pairs; i++) f.radians[i] = pow(1000, -(double)i / f.pairs);
    int64_t rows = q->own_rows ? q->B * q->T : q->T;
    Tensor *positions = q->own_rows ? case_tokens(c, 5000, SHAPE(rows)) : NULL;
    DType wide = qkv->dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
    return rope_table_record(case_program(c), &f, positions, rows, wide);
}

static void qk_case(Case *c, QkCase q) {
    QkOptions options = {q.NH, q.NH_kv, q.HS, q.norm, 1e-6};
    Tensor *qkv =
        case_activation(c, 0, 2, q.accumulate, SHAPE(q.B, q.T, (q.NH + 2 * q.NH_kv) * q.HS));
    Tensor *q_gamma = q.gamma ? case_parameter(c, 1, 0.5, q.accumulate, SHAPE(q.HS)) : NULL;
    Tensor *k_gamma = q.gamma ? case_parameter(c, 1, 0.5, q.accumulate, SHAPE(q.HS)) : NULL;
    Tensor *table = rope_table_of(c, &q, qkv);
    case_differentiate(c, qk_record(case_program(c), qkv, table, q_gamma, k_gamma, &options));
}

static void rope_64(Case *c) { qk_case(c, (QkCase){3, 70, 4, 1, 64, .pairs = 32}); }
static void rope_80(Case *c) {
    qk_case(c, (QkCase){2, 33, 4, 2, 80, .pairs = 40, .accumulate = true});
}
static void rope_half(Case *c) {
    qk_case(c, (QkCase){2, 33, 4, 4, 128, .pairs = 32, .own_rows = true});
}
static void rope_odd(Case *c) { qk_case(c, (QkCase){2, 19, 4, 2, 96, .pairs = 19}); }
static void rope_ragged(Case *c) { qk_case(c, (QkCase){2, 19, 3, 1, 30, .pairs = 15}); }
static void rope_many(Case *c) { qk_case(c, (QkCase){2, 9, 40, 8, 256, .pairs = 128}); }
static void qk_norm_plain(Case *c) {
    qk_case(c, (QkCase){2, 33, 4, 2, 64, .pairs = 0, .norm = true});
}
static void qk_norm_32(Case *c) {
    qk_case(c, (QkCase){2, 33, 4, 4, 32, .pairs = 16, .norm = true, .gamma = true});
}
static void qk_norm_80(Case *c) {
    qk_case(
        c, (QkCase){2, 33, 4, 1, 80, .pairs = 40, .norm = true, .gamma = true, .accumulate = true});
}
static void qk_norm_96(Case *c) {
    qk_case(c, (QkCase){2, 33, 4, 2, 96, .pairs = 48, .norm = true});
}
static void qk_norm_128(Case *c) {
    qk_case(c, (QkCase){9, 300, 4, 2, 128, .pairs = 64, .norm = true, .gamma = true});
}
static void qk_norm_half(Case *c) {
    qk_case(c,
            (QkCase){2, 33, 4, 2, 72, .pairs = 16, .norm = true, .gamma = true, .own_rows = true});
}
static void qk_norm_256(Case *c) {
    qk_case(c, (QkCase){2, 33, 4, 2, 256, .pairs = 128, .norm = true, .gamma = true});
}
static void qk_norm_odd(Case *c) {
    qk_case(c, (QkCase){2, 33, 4, 2, 96, .pairs = 19, .norm = true, .gamma = true});
}
static void qk_norm_ragged(Case *c) {
    qk_case(c, (QkCase){3, 19, 3, 1, 5, .pairs = 1, .norm = true, .gamma = true});
}
static void qk_norm_evaluated(Case *c) {
    case_trains(c, false);
    qk_case(c, (QkCase){2, 33, 4, 2, 64, .pairs = 32, .norm = true, .gamma = true});
}

static void value_embedding_case(Case *c, int64_t rows, int64_t NH, int64_t NH_kv, int64_t HS,
                                 bool accumulate) {
    Tensor *qkv = case_activation(c, 0, 1, accumulate, SHAPE(rows, (NH + 2 * NH_kv) * HS));
    Tensor *e = case_activation(c, 0, 1, accumulate, SHAPE(rows, NH_kv * HS));
    Tensor *gate = case_parameter(c, 0.5, 1, accumulate, SHAPE(NH_kv));
    case_differentiate(c, value_embedding_record(case_program(c), qkv, e, gate, NH, NH_kv, HS));
}

static void value_embedding_64(Case *c) { value_embedding_case(c, 5000, 4, 2, 64, false); }
static void value_embedding_80(Case *c) { value_embedding_case(c, 77, 4, 4, 80, true); }
static void value_embedding_ragged(Case *c) { value_embedding_case(c, 131, 3, 1, 35, true); }
static void value_embedding_one(Case *c) { value_embedding_case(c, 1, 4, 1, 300, false); }

/* One token per row, some at positions that do not exist. */
static void scatter_rows_case(Case *c, int64_t B, int64_t C, int64_t first, int64_t rows,
                              int64_t width) {
    Tensor *x = case_input(c, NARROW, 0, 1, SHAPE(B, 1, C)),
           *out = case_input(c, NARROW, 0, 1, SHAPE(B, rows, width));
    Tensor *positions = case_tokens(c, rows + 3, SHAPE(B, 1));
    scatter_rows_record(case_program(c), out, x, positions, first);
    case_compare(c, out);
}

static void scatter_rows_aligned(Case *c) { scatter_rows_case(c, 64, 192, 64, 9, 128); }
static void scatter_rows_unaligned(Case *c) { scatter_rows_case(c, 40, 36, 12, 7, 16); }
static void scatter_rows_ragged(Case *c) { scatter_rows_case(c, 33, 57, 19, 5, 38); }

const NamedCase head_cases[] = {
    CASE(lookups_aligned),
    CASE(lookups_ragged),
    CASE(rope_64),
    CASE(rope_80),
    CASE(rope_half),
    CASE(rope_odd),
    CASE(rope_ragged),
    CASE(rope_many),
    CASE(qk_norm_plain),
    CASE(qk_norm_32),
    CASE(qk_norm_80),
    CASE(qk_norm_96),
    CASE(qk_norm_128),
    CASE(qk_norm_half),
    CASE(qk_norm_256),
    CASE(qk_norm_odd),
    CASE(qk_norm_ragged),
    CASE(qk_norm_evaluated),
    CASE(value_embedding_64),
    CASE(value_embedding_80),
    CASE(value_embedding_ragged),
    CASE(value_embedding_one),
    CASE(scatter_rows_aligned),
    CASE(scatter_rows_unaligned),
    CASE(scatter_rows_ragged),
};
const int n_head_cases = COUNT(head_cases);
