/* baseline and math on the CPU: all weights (B, NH, Tq, Tk) are in memory and kept for backward.
 *
 * baseline is nanoGPT's composition, att = (q k^T) * scale; math first scales q and k by
 * sqrt(|scale|), and k by the sign of scale, which reduces the magnitude of the product (the
 * article's appendix A). They are otherwise equal. A thread processes one head at a time. */
#include "nn/attention/cpu/quadratic_cpu.h"
#include "nn/attention/attention.h"
#include "nn/attention/cpu/dropout_cpu.h"
#include "nn/attention/cpu/product_cpu.h"

#include <omp.h>

DECLARE_KERNELS(baseline_forward);
DECLARE_KERNELS(baseline_backward);
DECLARE_KERNELS(math_forward);
DECLARE_KERNELS(math_backward);

/* A head with all its weights in memory. */
typedef struct Square {
    Head head;
    bool prescale;
    stored *kept;          /* (Tq, Tk): the weights, for backward */
    real *weights;         /* the same, or in 16 bits a copy */
    real *scratch;         /* (Tq, Tk), then prescaled q and k */
    RowsView q, out, dq;   /* of the head; backward: out is dout */
    RowsView k, v, dk, dv; /* of the group */
} Square;

/* out (rows, HS) = factor * x, from strided to dense. */
static void scaled_copy(real *out, RowsView x, int64_t rows, int64_t HS, real factor) {
    for (int64_t i = 0; i < rows; i++) {
        const real *row = row_of(x, i);
#pragma omp simd
        for (int64_t j = 0; j < HS; j++) out[i * HS + j] = factor * row[j];
    }
}

/* weights = q k^T scale. */
static void scores(const Square *square) {
    const AttentionCall *call = square->head.call;
    int Tq = (int)call->Tq, Tk = (int)call->Tk, HS = (int)call->HS;
    if (square->prescale) {
        real *q = square->scratch + call->Tq * call->Tk, *k = q + call->Tq * call->HS;
        real root = (real)sqrt(fabs((double)call->scale)), root_k = call->scale < 0 ? -root : root;
        scaled_copy(q, square->q, Tq, HS, root);
        scaled_copy(k, square->k, Tk, HS, root_k);
        BLAS(gemm)
        (CblasRowMajor, CblasNoTrans, CblasTrans, Tq, Tk, HS, 1, q, HS, k, HS, 0, square->weights,
         Tk);
        return;
    }
    BLAS(gemm)
    (CblasRowMajor, CblasNoTrans, CblasTrans, Tq, Tk, HS, 1, square->q.at, square->q.stride,
     square->k.at, square->k.stride, 0, square->weights, Tk);
    for (int64_t i = 0; i < call->Tq * call->Tk; i++) square->weights[i] *= (real)call->scale;
}

/* Turns query i's scores into softmax over its visible keys, and into zero elsewhere. */
static void softmax_row(const Square *square, int64_t i) {
    int64_t Tk = square->head.call->Tk, first, end;
    real *x = square->weights + i * Tk;
    head_visible(&square->head, i, &first, &end);
    head_bias(&square->head, i, first, end, x + first);
    real maximum = row_maximum(x, first, end, (real)-INFINITY);
    real total = head_total(&square->head, i, row_exponentials(x, first, end, base_of(maximum)));
    row_scale(x + first, end - first, total == 0 ? 0 : 1 / total);
    outside_clear(x, first, end, Tk);
    head_hide(&square->head, i, first, end, x + first);
    head_keep(&square->head, i, (double)maximum, (double)total);
}

static void queries_read(Square *square) {
    const AttentionCall *call = square->head.call;
    square->q =
        rows_read(head_q(&square->head, 0), call->q.token, call->Tq, call->HS, square->q.at);
}

static void keys_read(Square *square) {
    const AttentionCall *call = square->head.call;
    square->k =
        rows_read(head_k(&square->head, 0), call->k.token, call->Tk, call->HS, square->k.at);
    square->v =
        rows_read(head_v(&square->head, 0), call->v.token, call->Tk, call->HS, square->v.at);
}

static Pairs pairs_of(const Square *square, const real *weights) {
    const AttentionCall *call = square->head.call;
    return (Pairs){&square->head, 0,    0, (int)call->Tq, (int)call->Tk, weights,
                   (int)call->Tk, false};
}

/* The weights that are multiplied by v. With dropout they are in the scratch memory, because the
 * softmax itself is kept for backward. */
static real *dropped_weights(const Square *square) {
    const AttentionCall *call = square->head.call;
    if (call->dropout <= 0) return square->weights;
    memcpy(square->scratch, square->weights, (size_t)(call->Tq * call->Tk) * sizeof(real));
    for (int64_t i = 0; i < call->Tq; i++) {
        head_drop(&square->head, i, 0, call->Tk, square->scratch + i * call->Tk);
    }
    return square->scratch;
}

static void square_forward(Square *square) {
    const AttentionCall *call = square->head.call;
    stored *place = head_out(&square->head, 0);
    queries_read(square);
    keys_read(square);
    square->out = rows_of(place, call->out.token, call->HS, square->out.at);
    scores(square);
    head_cap(&square->head, call->Tq * call->Tk, square->weights);
    for (int64_t i = 0; i < call->Tq; i++) softmax_row(square, i);
    Pairs pairs = pairs_of(square, dropped_weights(square));
    pairs_product(&pairs, false, square->v, false, square->out);
    rows_write(square->out, place, call->out.token, call->Tq, call->HS);
    if (IS_NARROW) values_store(square->kept, square->weights, call->Tq * call->Tk);
}

/* Multiplies dS by the slope of the softcap at the score, which a weight and lse determine. */
static void row_uncap(const Square *square, int64_t i, int64_t first, int64_t end, real *row) {
    const Head *head = &square->head;
    const real *weights = square->weights + i * head->call->Tk;
    double lse = ((const double *)head->args->lse)[head_query(head, i)];
    if (head->call->softcap <= 0) return;
    for (int64_t j = first; j < end; j++) {
        real score = weights[j] == 0 ? (real)-INFINITY : (real)(log((double)weights[j]) + lse);
        row[j] *= head_slope(head, i, j, score);
    }
}

/* dS = P (dP - sum_j P dP) is the gradient of the bias; times scale it is that of the product.
 * Overwrites query i's dP. Hidden pairs are set to 0 before the sum and again after it, because the
 * sum may be NaN. */
static void softmax_backward(const Square *square, int64_t i, real *row) {
    const AttentionCall *call = square->head.call;
    const real *weights = square->weights + i * call->Tk;
    int64_t first, end;
    head_visible(&square->head, i, &first, &end);
    head_drop(&square->head, i, first, end, row + first);
    head_hide(&square->head, i, first, end, row + first);
    real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = first; j < end; j++) sum += row[j] * weights[j];
#pragma omp simd
    for (int64_t j = first; j < end; j++) row[j] = weights[j] * (row[j] - sum);
    outside_clear(row, first, end, call->Tk);
    head_hide(&square->head, i, first, end, row + first);
    head_dbias(&square->head, i, first, end, row + first);
    row_uncap(square, i, first, end, row);
    row_scale(row + first, end - first, (real)call->scale);
}

/* dv += P^T dout, dk += dS^T q, dq = dS k; the heads of a group share dk and dv. */
static void square_backward(Square *square, bool first_of_group) {
    const AttentionCall *call = square->head.call;
    int Tq = (int)call->Tq, Tk = (int)call->Tk, HS = (int)call->HS;
    real *d = square->scratch;
    if (IS_NARROW) values_load(square->weights, square->kept, call->Tq * call->Tk);
    queries_read(square);
    square->out = rows_read(head_dout(&square->head, 0), call->out.token, Tq, HS, square->out.at);
    square->dq = rows_of(head_dq(&square->head, 0), call->q.token, HS, square->dq.at);
    Pairs weights = pairs_of(square, dropped_weights(square)), gradients = pairs_of(square, d);
    pairs_product(&weights, true, square->out, !first_of_group, square->dv);
    BLAS(gemm)
    (CblasRowMajor, CblasNoTrans, CblasTrans, Tq, Tk, HS, 1, square->out.at, square->out.stride,
     square->v.at, square->v.stride, 0, d, Tk);
    for (int64_t i = 0; i < call->Tq; i++) softmax_backward(square, i, d + i * call->Tk);
    pairs_product(&gradients, false, square->k, false, square->dq);
    pairs_product(&gradients, true, square->q, !first_of_group, square->dk);
    rows_write(square->dq, head_dq(&square->head, 0), call->q.token, Tq, HS);
}

static void weights_of(Square *square, const Node *node, int64_t index) {
    const AttentionCall *call = square->head.call;
    square->kept = (stored *)attention_weights(node) + index * call->Tq * call->Tk;
    if (!IS_NARROW) square->weights = (real *)square->kept;
}

static Square square_of(const Node *node, const AttentionArgs *args, int64_t index, bool prescale) {
    const AttentionAttrs *attrs = node->attrs;
    const AttentionCall *call = &attrs->call;
    real *at = (real *)args->workspace + quadratic_scratch(call) * (size_t)omp_get_thread_num();
    int64_t queries = call->Tq * call->HS, keys = call->Tk * call->HS;
    Square square = {.head = {call, args, index / call->NH, index % call->NH},
                     .prescale = prescale,
                     .scratch = at};
    weights_of(&square, node, index);
    if (!IS_NARROW) return square;
    square.weights = at += quadratic_sums(call), at += call->Tq * call->Tk;
    square.q.at = at, at += queries;
    square.out.at = at, at += queries;
    square.dq.at = at, at += queries;
    square.k.at = at, at += keys;
    square.v.at = at, at += keys;
    square.dk.at = at, at += keys;
    square.dv.at = at;
    return square;
}

/* The heads that share keys. */
static void group_backward(const Node *node, const AttentionArgs *args, int64_t kv) {
    const AttentionCall *call = attention_call(node);
    int64_t group = call->NH / call->NH_kv;
    Square square = square_of(node, args, kv * group, false);
    stored *dk = head_dk(&square.head, 0), *dv = head_dv(&square.head, 0);
    square.dk = rows_of(dk, call->k.token, call->HS, square.dk.at);
    square.dv = rows_of(dv, call->v.token, call->HS, square.dv.at);
    keys_read(&square);
    for (int64_t i = 0; i < group; i++, square.head.h++) {
        weights_of(&square, node, kv * group + i);
        square_backward(&square, i == 0);
    }
    rows_write(square.dk, dk, call->k.token, call->Tk, call->HS);
    rows_write(square.dv, dv, call->v.token, call->Tk, call->HS);
}

static Status forward(const Node *node, bool prescale) {
    const AttentionAttrs *attrs = node->attrs;
    AttentionArgs args = attention_forward_args(node);
#pragma omp parallel for schedule(dynamic)
    for (int64_t index = 0; index < attrs->call.B * attrs->call.NH; index++) {
        Square square = square_of(node, &args, index, prescale);
        square_forward(&square);
    }
    return OK;
}

static Status backward(const Node *node) {
    const AttentionAttrs *attrs = node->attrs;
    AttentionArgs args = attention_backward_args(node);
    const AttentionCall *call = &attrs->call;
    BiasWork work = attention_bias_work(call, &args);
    attention_dbias_clear(call, &args);
#pragma omp parallel for schedule(dynamic)
    for (int64_t part = 0; part < work.parts; part++) {
        for (int64_t step = 0; step < work.steps; step++) {
            group_backward(node, &args, attention_bias_item(call, &work, part, step));
        }
    }
    return OK;
}

Status KERNEL(baseline_forward)(const Node *node, void *stream) {
    (void)stream;
    return forward(node, false);
}

Status KERNEL(baseline_backward)(const Node *node, void *stream) {
    (void)stream;
    return backward(node);
}

Status KERNEL(math_forward)(const Node *node, void *stream) {
    (void)stream;
    return forward(node, true);
}

Status KERNEL(math_backward)(const Node *node, void *stream) {
    (void)stream;
    return backward(node);
}
