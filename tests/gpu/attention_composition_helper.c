#include "tests/gpu/attention_composition_helper.h"

#include "core/autodiff.h"
#include "core/rng.h"
#include "core/step.h"
#include "tests/gpu/composition_helper.h"

#include <math.h>
#include <string.h>

typedef struct Attrs {
    ComposedAttention how;
    uint32_t stream;
} Attrs;

enum {
    QKV,
    STEP,
    WEIGHTS,
    DOUT
}; /* inputs (forward uses the first two); outputs are out and weights */

/* One head; its inputs and outputs start at its first token, `token` elements apart. */
typedef struct Head {
    const Attrs *attrs;
    const StepState *step;
    int64_t T, HS, token;
    uint64_t index; /* of the head in the global batch */
    const double *q, *k, *v;
    double *weights; /* (T, T) */
} Head;

static Head head_of(const Node *node, const Tensor *weights, int64_t b, int64_t h) {
    const Attrs *attrs = node->attrs;
    const Tensor *qkv = node->inputs[QKV];
    const StepState *step = tensor_data(node->inputs[STEP]);
    int64_t NH = attrs->how.NH, T = qkv->shape[1], C = qkv->shape[2] / 3, HS = C / NH;
    const double *q = (const double *)tensor_data(qkv) + b * T * 3 * C + h * HS;
    return (Head){.attrs = attrs,
                  .step = step,
                  .T = T,
                  .HS = HS,
                  .token = 3 * C,
                  .index = (uint64_t)((step->first_sample + b) * NH + h),
                  .q = q,
                  .k = q + C,
                  .v = q + 2 * C,
                  .weights = (double *)tensor_data(weights) + (b * NH + h) * T * T};
}

static double stored(const Head *head, double x) { return rounded(x, head->attrs->how.dtype); }

/* The weight after dropout: 0, or 1 / (1 - p) times the weight. */
static double kept(const Head *head, int64_t i, int64_t j) {
    double p = head->attrs->how.dropout;
    uint64_t at = (head->index * (uint64_t)head->T + (uint64_t)i) * (uint64_t)head->T + (uint64_t)j;
    Philox words =
        philox(head->step->seed, at / 4, rng_counter(head->step->step, head->attrs->stream));
    return words.word[at % 4] < rng_threshold(p) ? 0 : 1 / (1 - p);
}

static double score(const Head *head, int64_t i, int64_t j) {
    bool prescaled = head->attrs->how.prescaled;
    double scale = 1 / sqrt((double)head->HS), root = sqrt(scale), sum = 0;
    for (int64_t d = 0; d < head->HS; d++) {
        double q = head->q[i * head->token + d], k = head->k[j * head->token + d];
        sum += prescaled ? stored(head, q * root) * stored(head, k * root) : q * k;
    }
    return prescaled ? stored(head, sum) : stored(head, sum) * scale;
}

static void row_forward(const Head *head, int64_t i, double *out) {
    double *w = head->weights + i * head->T, maximum = -INFINITY, sum = 0;
    memset(w, 0, (size_t)head->T * sizeof *w);
    memset(out, 0, (size_t)head->HS * sizeof *out);
    for (int64_t j = 0; j <= i; j++) maximum = fmax(maximum, w[j] = score(head, i, j));
    for (int64_t j = 0; j <= i; j++) sum += w[j] = exp(w[j] - maximum);
    for (int64_t j = 0; j <= i; j++) {
        w[j] = stored(head, w[j] / sum);
        double left = stored(head, w[j] * kept(head, i, j));
        for (int64_t d = 0; d < head->HS; d++) out[d] += left * head->v[j * head->token + d];
    }
}

static Status forward(const Node *node, void *stream) {
    (void)stream;
    const Tensor *out = node->outputs[0];
    const Attrs *attrs = node->attrs;
    for (int64_t b = 0; b < out->shape[0]; b++) {
        for (int64_t h = 0; h < attrs->how.NH; h++) {
            Head head = head_of(node, node->outputs[1], b, h);
            double *first = (double *)tensor_data(out) + b * head.T * out->shape[2] + h * head.HS;
            for (int64_t i = 0; i < head.T; i++) row_forward(&head, i, first + i * out->shape[2]);
        }
    }
    return OK;
}

/* Adds query i's share to the gradients of the head; `d` has capacity for T numbers. */
static void row_backward(const Head *head, int64_t i, const double *dout, double *dq, double *d) {
    int64_t C = head->token / 3;
    const double *w = head->weights + i * head->T;
    double sum = 0;
    for (int64_t j = 0; j <= i; j++) {
        d[j] = 0;
        for (int64_t e = 0; e < head->HS; e++) d[j] += dout[e] * head->v[j * head->token + e];
        d[j] = stored(head, d[j]) * kept(head, i, j);
        sum += w[j] * d[j];
    }
    for (int64_t j = 0; j <= i; j++) {
        double ds = stored(head, w[j] * (d[j] - sum) / sqrt((double)head->HS));
        double left = stored(head, w[j] * kept(head, i, j));
        for (int64_t e = 0; e < head->HS; e++) {
            dq[i * head->token + e] += ds * head->k[j * head->token + e];
            dq[j * head->token + C + e] += ds * head->q[i * head->token + e];
            dq[j * head->token + 2 * C + e] += left * dout[e];
        }
    }
}

static Status backward(const Node *node, void *stream) {
    (void)stream;
    const Tensor *dqkv = node->outputs[0], *dout = node->inputs[DOUT];
    const Attrs *attrs = node->attrs;
    memset(tensor_data(dqkv), 0, tensor_bytes(dqkv));
    for (int64_t b = 0; b < dqkv->shape[0]; b++) {
        for (int64_t h = 0; h < attrs->how.NH; h++) {
            Head head = head_of(node, node->inputs[WEIGHTS], b, h);
            int64_t C = head.token / 3, row = b * head.T;
            const double *d = (const double *)tensor_data(dout) + row * C + h * head.HS;
            double *dq = (double *)tensor_data(dqkv) + row * head.token + h * head.HS;
            for (int64_t i = 0; i < head.T; i++) {
                row_backward(&head, i, d + i * C, dq, tensor_data(node->workspace));
            }
        }
    }
    return OK;
}

static size_t backward_workspace(const Node *node, const Target *target) {
    (void)target;
    return (size_t)node->inputs[QKV]->shape[1] * sizeof(double);
}

/* Runs in f64 on the CPU. The program that determines the stored dtypes is recorded for a GPU and
 * never runs. */
static const Op backward_op = {
    .name = "attention_composed_backward",
    .kernels = KERNELS(&(const Kernel){.device = DEVICE_CPU,
                                       .dtypes = DTYPE_BIT(DTYPE_F64),
                                       .workspace = backward_workspace,
                                       .run = backward},
                       &(const Kernel){.device = DEVICE_CUDA, .dtypes = DTYPES_REAL}),
};

static void gradient(Program *p, const Node *node) {
    Tensor *qkv = node->inputs[QKV], *dout = autodiff_gradient(p, node->outputs[0]);
    GradTarget dqkv = autodiff_target(p, qkv);
    program_record(p, (Recording){&backward_op, node->attrs, sizeof(Attrs),
                                  TENSORS(qkv, node->inputs[STEP], node->outputs[1], dout),
                                  TENSORS(dqkv.grad), NULL});
}

static const Op forward_op = {
    .name = "attention_composed",
    .gradient = gradient,
    .kernels = KERNELS(
        &(const Kernel){.device = DEVICE_CPU, .dtypes = DTYPE_BIT(DTYPE_F64), .run = forward},
        &(const Kernel){.device = DEVICE_CUDA, .dtypes = DTYPES_REAL}),
};

Tensor *attention_composed_record(Program *p, Tensor *qkv, Tensor *step,
                                  ComposedAttention attention) {
    if (program_failed(p) || qkv == NULL) return NULL;
    int64_t B = qkv->shape[0], T = qkv->shape[1], C = qkv->shape[2] / 3;
    Attrs attrs = {attention, attention.dropout > 0 ? program_stream(p) : 0};
    Tensor *out = program_tensor(p, BUFFER_ACTIVATIONS, qkv->dtype, 3, (int64_t[]){B, T, C});
    Tensor *weights =
        program_tensor(p, BUFFER_ACTIVATIONS, qkv->dtype, 4, (int64_t[]){B, attention.NH, T, T});
    program_record(p, (Recording){&forward_op, &attrs, sizeof attrs, TENSORS(qkv, step),
                                  TENSORS(out, weights), NULL});
    return out;
}
