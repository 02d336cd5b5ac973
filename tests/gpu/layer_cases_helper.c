/* Norms, activations and sums of activations. */
#include "core/ops/add.h"
#include "core/ops/gated.h"
#include "core/ops/gelu.h"
#include "core/ops/mix.h"
#include "core/ops/norm.h"
#include "core/ops/reduce.h"
#include "core/ops/relu2.h"
#include "core/ops/sequence_squares.h"
#include "core/ops/short_conv.h"
#include "nn/attention/documents.h"
#include "tests/gpu/op_cases_helper.h"

static const NormOptions layernorm = {NORM_LAYER, 1e-5}, rmsnorm = {NORM_RMS, 1e-5};

enum { BRANCH = 1, GAMMA = 2, BETA = 4, ACCUMULATE = 8 };

static void norm_case(Case *c, NormOptions options, int64_t rows, int64_t C, int flags) {
    Program *p = case_program(c);
    bool accumulate = flags & ACCUMULATE;
    Tensor *x = case_activation(c, 0.5, 2, false, SHAPE(rows, C));
    Tensor *add = flags & BRANCH ? case_activation(c, 0, 1, false, SHAPE(rows, C)) : NULL;
    Tensor *gamma = flags & GAMMA ? case_parameter(c, 1, 0.5, accumulate, SHAPE(C)) : NULL;
    Tensor *beta = flags & BETA ? case_parameter(c, 0, 1, accumulate, SHAPE(C)) : NULL;
    bool separate =
        add != NULL && case_role(c) == CASE_COMPOSITION; /* rounds the sum before its other uses */
    Tensor *sum = NULL, *y = norm_record(p, x, add, gamma, beta, options, &sum), *same = NULL;
    if (separate) y = norm_record(p, sum, NULL, gamma, beta, options, &same);
    if (add != NULL &&
        sum != NULL) { /* the residual stream has its own gradient, to which this one is added */
        autodiff_watch(p, sum, case_input(c, NARROW, 0, 1, SHAPE(rows, C)), true);
    }
    case_differentiate(c, y);
}

static void layernorm_768(Case *c) { norm_case(c, layernorm, 100, 768, BRANCH | GAMMA | BETA); }
static void layernorm_64(Case *c) { norm_case(c, layernorm, 37, 64, GAMMA | BETA | ACCUMULATE); }
static void layernorm_ragged(Case *c) {
    norm_case(c, layernorm, 41, 33, BRANCH | GAMMA | BETA | ACCUMULATE);
}
static void layernorm_1600(Case *c) { norm_case(c, layernorm, 19, 1600, BRANCH | GAMMA | BETA); }
static void layernorm_long(Case *c) { norm_case(c, layernorm, 9, 4104, BRANCH | GAMMA); }
static void layernorm_many(Case *c) { norm_case(c, layernorm, 5000, 48, BRANCH | GAMMA | BETA); }
static void layernorm_plain(Case *c) { norm_case(c, layernorm, 37, 64, BRANCH); }
static void rmsnorm_768(Case *c) { norm_case(c, rmsnorm, 100, 768, BRANCH | GAMMA); }
static void rmsnorm_64(Case *c) { norm_case(c, rmsnorm, 37, 64, GAMMA | ACCUMULATE); }
static void rmsnorm_ragged(Case *c) { norm_case(c, rmsnorm, 41, 33, BRANCH | GAMMA | ACCUMULATE); }
static void rmsnorm_1600(Case *c) { norm_case(c, rmsnorm, 19, 1600, BRANCH | GAMMA); }
static void rmsnorm_long(Case *c) { norm_case(c, rmsnorm, 9, 4104, BRANCH | GAMMA); }
static void rmsnorm_many(Case *c) { norm_case(c, rmsnorm, 5000, 48, BRANCH | GAMMA); }
static void rmsnorm_plain(Case *c) { norm_case(c, rmsnorm, 100, 768, BRANCH); }
static void rmsnorm_plain_ragged(Case *c) { norm_case(c, rmsnorm, 41, 33, 0); }
static void rmsnorm_plain_long(Case *c) { norm_case(c, rmsnorm, 9, 4104, BRANCH); }
static void rmsnorm_plain_many(Case *c) { norm_case(c, rmsnorm, 5000, 48, 0); }

/* The norms of what the sequences contribute to the weights of a norm. */
static void sequences_case(Case *c, NormOptions options, int64_t B, int64_t rows, int64_t C,
                           int flags) {
    Program *p = case_program(c);
    Tensor *x = case_activation(c, 0.5, 2, false, SHAPE(B * rows, C));
    Tensor *gamma = flags & GAMMA ? case_parameter(c, 1, 0.5, false, SHAPE(C)) : NULL;
    Tensor *beta = flags & BETA ? case_parameter(c, 0, 1, false, SHAPE(C)) : NULL;
    Tensor *norms[] = {case_output(c, WIDE, SHAPE(1)), case_output(c, WIDE, SHAPE(1))};
    Tensor *sum = NULL;
    size_t bytes = (size_t)sequence_squares_chunks(C, beta != NULL) * sizeof(double);
    case_differentiate(c, norm_record(p, x, NULL, gamma, beta, options, &sum));
    for (int i = p->n_nodes - 1; i >= 0; i--) {
        const Node *node = p->nodes[i];
        if (node->op != &layernorm_backward_op && node->op != &rmsnorm_backward_op) continue;
        Tensor *units = program_workspace(p, bytes), *whole = program_workspace(p, bytes);
        sequence_squares_record(p, node, B, units, whole);
        l2_norm_record(p, norms[0], units);
        l2_norm_record(p, norms[1], whole);
        break;
    }
    case_compare(c, norms[0]);
    case_compare(c, norms[1]);
}

static void sequences_768(Case *c) { sequences_case(c, layernorm, 3, 50, 768, GAMMA | BETA); }
static void sequences_one(Case *c) { sequences_case(c, layernorm, 1, 300, 64, GAMMA | BETA); }
static void sequences_many(Case *c) { sequences_case(c, layernorm, 200, 7, 48, GAMMA); }
static void sequences_ragged(Case *c) { sequences_case(c, layernorm, 5, 9, 33, GAMMA | BETA); }
static void sequences_rms(Case *c) { sequences_case(c, rmsnorm, 3, 50, 768, GAMMA); }
static void sequences_rms_ragged(Case *c) { sequences_case(c, rmsnorm, 130, 3, 41, GAMMA); }
static void sequences_plain(Case *c) { sequences_case(c, rmsnorm, 6, 40, 128, 0); }

/* A separate GELU, as in recompute. */
static void gelu_case(Case *c, int64_t rows, int64_t C) {
    case_differentiate(
        c, gelu_record(case_program(c), case_activation(c, 0, 2, false, SHAPE(rows, C))));
}

static void gelu_aligned(Case *c) { gelu_case(c, 37, 64); }
static void gelu_ragged(Case *c) { gelu_case(c, 9, 33); }

static void relu2_case(Case *c, int64_t rows, int64_t C) {
    Tensor *x = case_activation(c, 0, 2, false, SHAPE(rows, C));
    case_differentiate(c, relu2_record(case_program(c), x));
}

static void relu2_aligned(Case *c) { relu2_case(c, 37, 64); }
static void relu2_ragged(Case *c) { relu2_case(c, 9, 33); }

static void gated_case(Case *c, GatedKind kind, int64_t rows, int64_t F, bool accumulate) {
    Tensor *pair = case_activation(c, 0, 2, accumulate, SHAPE(rows, 2 * F));
    case_differentiate(c, gated_record(case_program(c), pair, kind));
}

static void swiglu_aligned(Case *c) { gated_case(c, GATED_SILU, 37, 64, false); }
static void swiglu_ragged(Case *c) { gated_case(c, GATED_SILU, 9, 33, true); }
static void swiglu_wide(Case *c) { gated_case(c, GATED_SILU, 5, 3080, true); }
static void geglu_aligned(Case *c) { gated_case(c, GATED_GELU, 37, 64, true); }
static void geglu_ragged(Case *c) { gated_case(c, GATED_GELU, 9, 33, false); }
static void geglu_wide(Case *c) { gated_case(c, GATED_GELU, 5, 3080, false); }

/* x0 has other uses, so its gradient is added to what is there. */
static void mix_case(Case *c, int64_t rows, int64_t C, bool accumulate) {
    Tensor *x = case_activation(c, 0, 1, accumulate, SHAPE(rows, C));
    Tensor *x0 = case_activation(c, 0, 1, true, SHAPE(rows, C));
    Tensor *s = case_parameter(c, 1, 0.5, accumulate, SHAPE(2));
    case_differentiate(c, mix_record(case_program(c), x, x0, s));
}

static void mix_aligned(Case *c) { mix_case(c, 37, 64, false); }
static void mix_ragged(Case *c) { mix_case(c, 9, 33, true); }
static void mix_large(Case *c) { mix_case(c, 3000, 768, false); } /* more packs than threads */

static void mix_itself(Case *c) {
    Tensor *x = case_activation(c, 0, 1, true, SHAPE(37, 64));
    Tensor *s = case_parameter(c, 1, 0.5, false, SHAPE(2));
    case_differentiate(c, mix_record(case_program(c), x, x, s));
}

static void add_case(Case *c, int64_t rows, int64_t C) {
    Tensor *a = case_activation(c, 0, 1, false, SHAPE(rows, C));
    Tensor *b = case_activation(c, 0, 1, true, SHAPE(rows, C));
    case_differentiate(c, add_record(case_program(c), a, b));
}

static void add_aligned(Case *c) { add_case(c, 37, 64); }
static void add_ragged(Case *c) { add_case(c, 9, 33); }

/* With a vocabulary, token 0 ends a document. */
static void conv_case(Case *c, int64_t B, int64_t T, int64_t C, int64_t taps, int64_t V,
                      bool accumulate) {
    Program *p = case_program(c);
    Tensor *h = case_activation(c, 0, 1, accumulate, SHAPE(B, T, C));
    Tensor *w = case_parameter(c, 0, 0.5, accumulate, SHAPE(taps, C));
    Tensor *tokens = V == 0 ? NULL : case_tokens(c, V, SHAPE(B, T));
    case_differentiate(c, short_conv_record(p, h, w, documents_record(p, tokens, 0)));
}

static void conv_768(Case *c) { conv_case(c, 3, 700, 768, 3, 0, false); }
static void conv_two(Case *c) { conv_case(c, 2, 37, 264, 2, 0, true); }
static void conv_four(Case *c) { conv_case(c, 1, 5000, 64, 4, 0, false); }
static void conv_short(Case *c) { conv_case(c, 400, 2, 72, 4, 0, true); }
static void conv_one(Case *c) { conv_case(c, 1, 1, 300, 3, 0, false); }
static void conv_ragged(Case *c) { conv_case(c, 3, 41, 33, 3, 0, true); }
static void conv_documents(Case *c) { conv_case(c, 3, 333, 128, 3, 4, false); }
static void conv_odd_documents(Case *c) { conv_case(c, 2, 97, 35, 4, 9, true); }

/* Rows of tokens that begin at positions 0 to 4; some of a row are padding. */
static void conv_cached_case(Case *c, int64_t B, int64_t T, int64_t C, int64_t taps) {
    Tensor *h = case_input(c, NARROW, 0, 1, SHAPE(B, T, C)),
           *w = case_input(c, NARROW, 0, 0.5, SHAPE(taps, C)),
           *past = case_input(c, NARROW, 0, 1, SHAPE(B, taps - 1, C));
    Tensor *positions = case_tokens(c, 5, SHAPE(B, T)), *count = case_tokens(c, T + 1, SHAPE(1));
    case_differentiate(c, short_conv_cached_record(case_program(c), h, w, positions, count, past));
    case_compare(c, past);
}

static void conv_cached_one(Case *c) { conv_cached_case(c, 64, 1, 128, 3); }
static void conv_cached_chunk(Case *c) { conv_cached_case(c, 9, 16, 264, 4); }
static void conv_cached_long(Case *c) { conv_cached_case(c, 3, 128, 768, 3); }
static void conv_cached_ragged(Case *c) { conv_cached_case(c, 5, 3, 33, 4); }

const NamedCase layer_cases[] = {
    CASE(sequences_768),      CASE(sequences_one),
    CASE(sequences_many),     CASE(sequences_ragged),
    CASE(sequences_rms),      CASE(sequences_rms_ragged),
    CASE(sequences_plain),    CASE(layernorm_768),
    CASE(layernorm_64),       CASE(layernorm_ragged),
    CASE(layernorm_1600),     CASE(layernorm_long),
    CASE(layernorm_many),     CASE(layernorm_plain),
    CASE(rmsnorm_768),        CASE(rmsnorm_64),
    CASE(rmsnorm_ragged),     CASE(rmsnorm_1600),
    CASE(rmsnorm_long),       CASE(rmsnorm_many),
    CASE(rmsnorm_plain),      CASE(rmsnorm_plain_ragged),
    CASE(rmsnorm_plain_long), CASE(rmsnorm_plain_many),
    CASE(gelu_aligned),       CASE(gelu_ragged),
    CASE(relu2_aligned),      CASE(relu2_ragged),
    CASE(swiglu_aligned),     CASE(swiglu_ragged),
    CASE(swiglu_wide),        CASE(geglu_aligned),
    CASE(geglu_ragged),       CASE(geglu_wide),
    CASE(mix_aligned),        CASE(mix_ragged),
    CASE(mix_large),          CASE(mix_itself),
    CASE(add_aligned),        CASE(add_ragged),
    CASE(conv_768),           CASE(conv_two),
    CASE(conv_four),          CASE(conv_short),
    CASE(conv_one),           CASE(conv_ragged),
    CASE(conv_documents),     CASE(conv_odd_documents),
    CASE(conv_cached_one),    CASE(conv_cached_chunk),
    CASE(conv_cached_long),   CASE(conv_cached_ragged),
};
const int n_layer_cases = COUNT(layer_cases);
