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
    real *weights; /* (Tq, Tk) */
    real *scratch; /* (Tq, Tk), then prescaled q and k */
} Square;

/* out (rows, HS) = factor * x, from strided to dense. */
static void scaled_copy(real *out, const real *x, int64_t rows, int64_t HS, int64_t stride,
                        real factor) {
    for (int64_t i = 0; i < rows; i++) {
#pragma omp simd
        for (int64_t j = 0; j < HS; j++) out[i * HS + j] = factor * x[i * stride + j];
    }
}

/* weights = q k^T scale. */
static void scores(const Square *square) {
    const AttentionCall *call = square->head.call;
    int Tq = (int)call->Tq, Tk = (int)call->Tk, HS = (int)call->HS;
    if (square->prescale) {
        real *q = square->scratch + call->Tq * call->Tk, *k = q + call->Tq * call->HS;
        real root = (real)sqrt(fabs((double)call->scale)), root_k = call->scale < 0 ? -root : root;
        scaled_copy(q, head_q(&square->head, 0), Tq, HS, call->q.token, root);
        scaled_copy(k, head_k(&square->head, 0), Tk, HS, call->k.token, root_k);
        BLAS(gemm)
        (CblasRowMajor, CblasNoTrans, CblasTrans, Tq, Tk, HS, 1, q, HS, k, HS, 0, square->weights,
         Tk);
        return;
    }
    BLAS(gemm)
    (CblasRowMajor, CblasNoTrans, CblasTrans, Tq, Tk, HS, 1, head_q(&square->head, 0),
     (int)call->q.token, head_k(&square->head, 0), (int)call->k.token, 0, square->weights, Tk);
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

static Pairs pairs_of(const Square *square, const real *weights) {
    const AttentionCall *call = square->head.call;
    return (Pairs){&square->head, 0, 0, (int)call->Tq, (int)call->Tk, weights, (int)call->Tk};
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

static void square_forward(const Square *square) {
    const AttentionCall *call = square->head.call;
    scores(square);
    head_cap(&square->head, call->Tq * call->Tk, square->weights);
    for (int64_t i = 0; i < call->Tq; i++) softmax_row(square, i);
    Pairs pairs = pairs_of(square, dropped_weights(square));
    pairs_product(&pairs, false, head_v(&square->head, 0), (int)call->v.token, false,
                  head_out(&square->head, 0), (int)call->out.token);
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
static void square_backward(const Square *square, bool first_of_group) {
    const AttentionCall *call = square->head.call;
    int Tq = (int)call->Tq, Tk = (int)call->Tk, HS = (int)call->HS;
    int q_row = (int)call->q.token, k_row = (int)call->k.token, v_row = (int)call->v.token,
        o_row = (int)call->out.token;
    const real *dout = head_dout(&square->head, 0);
    real *dq = head_dq(&square->head, 0), *dk = head_dk(&square->head, 0),
         *dv = head_dv(&square->head, 0);
    real *d = square->scratch;
    Pairs weights = pairs_of(square, dropped_weights(square)), gradients = pairs_of(square, d);
    pairs_product(&weights, true, dout, o_row, !first_of_group, dv, v_row);
    BLAS(gemm)
    (CblasRowMajor, CblasNoTrans, CblasTrans, Tq, Tk, HS, 1, dout, o_row, head_v(&square->head, 0),
     v_row, 0, d, Tk);
    for (int64_t i = 0; i < call->Tq; i++) softmax_backward(square, i, d + i * call->Tk);
    pairs_product(&gradients, false, head_k(&square->head, 0), k_row, false, dq, q_row);
    pairs_product(&gradients, true, head_q(&square->head, 0), q_row, !first_of_group, dk, k_row);
}

static Square square_of(const Node *node, const AttentionArgs *args, int64_t index, bool prescale) {
    const AttentionAttrs *attrs = node->attrs;
    const AttentionCall *call = &attrs->call;
    size_t scratch = quadratic_scratch(call) * (size_t)omp_get_thread_num();
    return (Square){
        .head = {call, args, index / call->NH, index % call->NH},
        .prescale = prescale,
        .weights = (real *)attention_weights(node) + index * call->Tq * call->Tk,
        .scratch = (real *)args->workspace + scratch,
    };
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
    int64_t group = call->NH / call->NH_kv;
    BiasWork work = attention_bias_work(call, &args);
    attention_dbias_clear(call, &args);
#pragma omp parallel for schedule(dynamic)
    for (int64_t part = 0; part < work.parts; part++) {
        for (int64_t step = 0; step < work.steps; step++) {
            int64_t kv = attention_bias_item(call, &work, part, step);
            for (int64_t i = 0; i < group; i++) {
                Square square = square_of(node, &args, kv * group + i, false);
                square_backward(&square, i == 0);
            }
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
