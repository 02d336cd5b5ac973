#include "nn/attention/attention.h"

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
        .q = at(node->inputs[IN_Q], attrs->q_offset),
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
    args.dq = at(node->outputs[0], attrs->q_offset);
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
