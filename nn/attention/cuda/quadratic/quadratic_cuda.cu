/* baseline and math on CUDA: what quadratic_cpu.c computes, with batched cuBLASLt products over
 * contiguous copies of the heads and softmax in f32 between them. All weights (B, NH, Tq, Tk) are
 * in memory and kept for backward. These backends are the references for measurements of the tiled
 * ones.
 *
 * Bound by memory: at B=64, NH=12, T=1024 in bf16 the scores are 1.6 GB. Forward writes them, reads
 * and writes them for softmax and reads them for the product with v (6.4 GB, 1.5 ms at 4.2 TB/s);
 * backward passes over weights or gradients eight times (12.9 GB, 3.1 ms). Hidden elements are
 * written as zeros and not read, which saves an eighth in a causal call. The gradient of a bias
 * takes two more passes, over the gradients of the weights before they become those of the
 * scores. */
#include "core/cuda/cuda_common.cuh"
#include "core/cuda/matmul.cuh"
#include "nn/attention/attention.h"
#include "nn/attention/cuda/quadratic/quadratic_again.cuh"
#include "nn/attention/cuda/quadratic/quadratic_cuda.h"
#include "nn/attention/cuda/quadratic/quadratic_heads.cuh"
#include "nn/attention/cuda/quadratic/quadratic_softmax.cuh"

/* Takes the next part of the workspace. */
static void *take(char **at, const AttentionCall *call, int64_t rows, int64_t columns) {
    void *piece = *at;
    *at += quadratic_piece(call, rows, columns);
    return piece;
}

static Status product(const AttentionCall *call, MatmulForm form, int64_t rows, int64_t columns,
                      int64_t depth, const void *a, const void *b, void *out, cudaStream_t stream) {
    MatmulShape shape = {};
    shape.rows = rows, shape.columns = columns, shape.depth = depth,
    shape.batch = call->B * call->NH;
    shape.form = form, shape.dtype = shape.out_dtype = call->dtype;
    MatmulOperands operands = {};
    operands.a = a, operands.b = b, operands.out = out;
    return matmul_run(shape, &operands, stream);
}

/* A product of weights: out (Tq, HS) = weights x; if transposed, out (Tk, HS) = weights^T x. */
static Status weighted(const RowParams &p, bool transposed, const void *weights, const void *x,
                       void *out, cudaStream_t stream) {
    const AttentionCall *c = &p.call;
    if (transposed)
        TRY(product(c, MATMUL_TN, c->Tk, c->HS, c->Tq, weights, x, out, stream));
    else
        TRY(product(c, MATMUL_NN, c->Tq, c->HS, c->Tk, weights, x, out, stream));
    return quadratic_again(out, weights, x, transposed, p, stream);
}

static HeadCopy copy_of(const AttentionCall *call, HeadLayout layout, int64_t T, bool of_keys,
                        float factor) {
    return HeadCopy{layout, call->B, call->NH, T, call->HS, of_keys ? call->NH / call->NH_kv : 1,
                    factor};
}

static RowParams rows_of(const AttentionCall *call, const AttentionArgs *args, float factor) {
    return RowParams{*call,      args->step, call->ranges ? args->key_ranges : NULL,
                     args->bias, factor,     (const float *)args->lse};
}

static Status forward(const Node *node, bool prescale, cudaStream_t stream) {
    const AttentionCall *call = &((const AttentionAttrs *)node->attrs)->call;
    AttentionArgs args = attention_forward_args(node);
    char *at = (char *)args.workspace;
    void *q = take(&at, call, call->Tq, call->HS), *k = take(&at, call, call->Tk, call->HS);
    void *v = take(&at, call, call->Tk, call->HS), *out = take(&at, call, call->Tq, call->HS);
    void *weights = attention_weights(node),
         *dropped = call->dropout > 0 ? take(&at, call, call->Tq, call->Tk) : NULL;
    float root = prescale ? sqrtf(fabsf(call->scale)) : 1.0f,
          root_k = prescale ? copysignf(root, call->scale) : 1.0f;
    RowParams rows = rows_of(call, &args, prescale ? 1.0f : call->scale);
    TRY(heads_copy(q, args.q, call->dtype, copy_of(call, call->q, call->Tq, false, root), true,
                   stream));
    TRY(heads_copy(k, args.k, call->dtype, copy_of(call, call->k, call->Tk, true, root_k), true,
                   stream));
    TRY(heads_copy(v, args.v, call->dtype, copy_of(call, call->v, call->Tk, true, 1), true,
                   stream));
    TRY(product(call, MATMUL_NT, call->Tq, call->Tk, call->HS, q, k, weights, stream));
    TRY(quadratic_rows(PASS_SOFTMAX, weights, dropped, (float *)args.lse, rows, stream));
    const void *kept = dropped == NULL ? weights : dropped;
    TRY(weighted(rows, false, kept, v, out, stream));
    return heads_copy(args.out, out, call->dtype, copy_of(call, call->out, call->Tq, false, 1),
                      false, stream);
}

static Status backward(const Node *node, cudaStream_t stream) {
    const AttentionCall *call = &((const AttentionAttrs *)node->attrs)->call;
    AttentionArgs args = attention_backward_args(node);
    char *at = (char *)args.workspace;
    int64_t Tq = call->Tq, Tk = call->Tk, HS = call->HS;
    void *q = take(&at, call, Tq, HS), *k = take(&at, call, Tk, HS), *v = take(&at, call, Tk, HS);
    void *dout = take(&at, call, Tq, HS), *dq = take(&at, call, Tq, HS),
         *dk = take(&at, call, Tk, HS);
    void *dv = take(&at, call, Tk, HS), *d = take(&at, call, Tq, Tk),
         *weights = attention_weights(node);
    HeadCopy of_q = copy_of(call, call->q, Tq, false, 1),
             of_out = copy_of(call, call->out, Tq, false, 1);
    HeadCopy of_k = copy_of(call, call->k, Tk, true, 1), of_v = copy_of(call, call->v, Tk, true, 1);
    float *sums = (float *)take(&at, call, call->bias == BIAS_ADDITIVE ? Tq : 0, sizeof(float));
    RowParams rows = rows_of(call, &args, call->scale);
    TRY(heads_copy(q, args.q, call->dtype, of_q, true, stream));
    TRY(heads_copy(k, args.k, call->dtype, of_k, true, stream));
    TRY(heads_copy(v, args.v, call->dtype, of_v, true, stream));
    TRY(heads_copy(dout, args.dout, call->dtype, of_out, true, stream));
    if (call->dropout > 0) TRY(quadratic_rows(PASS_DROPPED, d, weights, NULL, rows, stream));
    TRY(weighted(rows, true, call->dropout > 0 ? d : weights, dout, dv, stream));
    TRY(product(call, MATMUL_NT, Tq, Tk, HS, dout, v, d, stream));
    if (args.dbias != NULL)
        TRY(quadratic_dbias((float *)args.dbias, sums, d, weights, rows, stream));
    TRY(quadratic_rows(PASS_SOFTMAX_GRADIENT, d, weights, NULL, rows, stream));
    TRY(weighted(rows, false, d, k, dq, stream));
    TRY(weighted(rows, true, d, q, dk, stream));
    TRY(heads_copy(args.dq, dq, call->dtype, of_q, false, stream));
    TRY(heads_copy(args.dk, dk, call->dtype, of_k, false, stream));
    return heads_copy(args.dv, dv, call->dtype, of_v, false, stream);
}

extern "C" Status baseline_forward_cuda(const Node *node, void *stream) {
    return forward(node, false, (cudaStream_t)stream);
}

extern "C" Status baseline_backward_cuda(const Node *node, void *stream) {
    return backward(node, (cudaStream_t)stream);
}

extern "C" Status math_forward_cuda(const Node *node, void *stream) {
    return forward(node, true, (cudaStream_t)stream);
}

extern "C" Status math_backward_cuda(const Node *node, void *stream) {
    return backward(node, (cudaStream_t)stream);
}
