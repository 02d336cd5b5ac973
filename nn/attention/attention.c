#include "nn/attention/attention.h"

#include "core/autodiff.h"

#include <math.h>

static void *data_or_null(Tensor *const *tensors, int count, int index) {
    return index >= count || tensors[index] == NULL ? NULL : tensor_data(tensors[index]);
}

static void *at(const Tensor *t, int64_t elements) {
    return (char *)tensor_data(t) + (size_t)elements * dtype_size(t->dtype);
}

/* The inputs of a node, in both directions; backward has those from OUT on besides. */
enum { IN_Q, IN_K, IN_V, IN_STEP, IN_KEY_RANGES, IN_QUERY_RANGES, IN_BIAS, IN_OUT, IN_LSE, IN_WEIGHTS, IN_DOUT };

static AttentionArgs inputs_of(const Node *node) {
    const AttentionAttrs *attrs = node->attrs;
    return (AttentionArgs){
        .q = tensor_data(node->inputs[IN_Q]),
        .k = at(node->inputs[IN_K], attrs->k_offset),
        .v = at(node->inputs[IN_V], attrs->v_offset),
        .step = data_or_null(node->inputs, node->n_inputs, IN_STEP),
        .key_ranges = data_or_null(node->inputs, node->n_inputs, IN_KEY_RANGES),
        .query_ranges = data_or_null(node->inputs, node->n_inputs, IN_QUERY_RANGES),
        .bias = data_or_null(node->inputs, node->n_inputs, IN_BIAS),
        .workspace = data_or_null(&node->workspace, 1, 0),
    };
}

AttentionArgs attention_forward_args(const Node *node) {
    AttentionArgs args = inputs_of(node);
    args.out = tensor_data(node->outputs[0]);
    args.lse = tensor_data(node->outputs[1]);
    return args;
}

AttentionArgs attention_backward_args(const Node *node) {
    const AttentionAttrs *attrs = node->attrs;
    AttentionArgs args = inputs_of(node);
    args.out = tensor_data(node->inputs[IN_OUT]);
    args.lse = tensor_data(node->inputs[IN_LSE]);
    args.dout = tensor_data(node->inputs[IN_DOUT]);
    args.dq = tensor_data(node->outputs[0]);
    args.dk = at(node->outputs[1], attrs->k_offset);
    args.dv = at(node->outputs[2], attrs->v_offset);
    args.dbias = data_or_null(node->outputs, node->n_outputs, 3);
    return args;
}

void *attention_weights(const Node *node) {
    bool is_backward = node->n_inputs > IN_OUT;
    return is_backward ? data_or_null(node->inputs, node->n_inputs, IN_WEIGHTS)
                       : data_or_null(node->outputs, node->n_outputs, 2);
}

static double visible_pairs(const AttentionCall *call) {
    double pairs = 0;
    for (int64_t i = 0; i < call->Tq; i++) {
        int64_t first, end;
        attention_visible(call, i, &first, &end);
        pairs += (double)(end - first);
    }
    return pairs * (double)call->B * (double)call->NH;
}

static Cost attention_cost(const Node *node, double products) {
    const AttentionAttrs *attrs = node->attrs;
    const AttentionCall *call = &attrs->call;
    double rows = (double)(call->B * call->NH) * (double)(2 * call->Tq + 2 * call->Tk);
    return (Cost){.flops = products * 2.0 * visible_pairs(call) * (double)call->HS,
                  .bytes = products / 2.0 * rows * (double)call->HS * (double)dtype_size(call->dtype)};
}

Cost attention_forward_cost(const Node *node) { return attention_cost(node, 2); }
Cost attention_backward_cost(const Node *node) { return attention_cost(node, 5); }

static const AttentionBackend *backend_of(const Op *forward) {
    for (int i = 0; attention_backends[i] != NULL; i++) {
        if (attention_backends[i]->forward == forward) return attention_backends[i];
    }
    return NULL;
}

/* Kernels set their gradients. Where something is there already, they set a temporary that is added. */
static Tensor *gradient_place(Program *p, const Tensor *t, GradTarget target) {
    return target.accumulate ? program_tensor_like(p, BUFFER_ACTIVATION_GRADIENTS, t) : target.grad;
}

void attention_gradient(Program *p, const Node *node) {
    const AttentionAttrs *attrs = node->attrs;
    const AttentionBackend *backend = backend_of(node->op);
    Tensor *qkv = node->inputs[0], *dout = autodiff_gradient(p, node->outputs[0]);
    GradTarget target = autodiff_target(p, qkv);
    Tensor *dqkv = gradient_place(p, qkv, target);
    program_record(p, (Recording){backend->backward, attrs, sizeof *attrs,
                                  TENSORS(qkv, qkv, qkv, node->inputs[IN_STEP], node->inputs[IN_KEY_RANGES],
                                          node->inputs[IN_QUERY_RANGES], node->inputs[IN_BIAS], node->outputs[0],
                                          node->outputs[1], node->outputs[2], dout),
                                  TENSORS(dqkv, dqkv, dqkv, NULL),
                                  program_workspace(p, backend->backward_workspace(&attrs->call, &p->target))});
    if (target.accumulate) autodiff_share(p, qkv, dqkv);
}

AttentionCall attention_call_packed(DType dtype, int64_t B, int64_t T, int64_t NH, int64_t HS, double dropout,
                                    bool training) {
    int64_t C = NH * HS;
    HeadLayout packed = {.batch = T * 3 * C, .token = 3 * C, .head = HS};
    HeadLayout out = {.batch = T * C, .token = C, .head = HS};
    return (AttentionCall){
        .B = B,
        .NH = NH,
        .NH_kv = NH,
        .Tq = T,
        .Tk = T,
        .HS = HS,
        .dtype = dtype,
        .scale = (float)(1.0 / sqrt((double)HS)),
        .causal = CAUSAL_UPPER_LEFT,
        .dropout = training ? dropout : 0,
        .training = training,
        .q = packed,
        .k = packed,
        .v = packed,
        .out = out,
    };
}

Tensor *attention_record(Program *p, Tensor *qkv, int64_t NH, const AttentionOptions *options) {
    if (program_failed(p) || qkv == NULL) return NULL;
    int64_t B = qkv->shape[0], T = qkv->shape[1], C = qkv->shape[2] / 3;
    AttentionAttrs attrs = {
        .call = attention_call_packed(qkv->dtype, B, T, NH, C / NH, options->dropout, p->training),
        .k_offset = C,
        .v_offset = 2 * C,
    };
    if (attrs.call.dropout > 0) attrs.call.stream = program_stream(p);
    AttentionVerdict verdicts[ATTENTION_MAX_BACKENDS];
    const AttentionBackend *backend = NULL;
    int n_verdicts;
    program_check(p, attention_pick(&attrs.call, &p->target, options->choice, verdicts, &n_verdicts, &backend));
    if (program_failed(p)) return NULL;
    Tensor *out = program_tensor(p, BUFFER_ACTIVATIONS, qkv->dtype, 3, (int64_t[]){B, T, C});
    Tensor *lse = program_tensor(p, BUFFER_ACTIVATIONS, attention_lse_dtype(p->target.kind), 3, (int64_t[]){B, NH, T});
    Tensor *weights = NULL;
    if (backend->saves_weights) {
        weights = program_tensor(p, BUFFER_ACTIVATIONS, qkv->dtype, 4, (int64_t[]){B, NH, T, T});
    }
    program_record(p, (Recording){backend->forward, &attrs, sizeof attrs,
                                  TENSORS(qkv, qkv, qkv, options->step, NULL, NULL, NULL), TENSORS(out, lse, weights),
                                  program_workspace(p, backend->forward_workspace(&attrs.call, &p->target))});
    return out;
}
