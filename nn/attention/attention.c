#include "nn/attention/attention.h"

static void *data_or_null(Tensor *const *tensors, int count, int index) {
    return index >= count || tensors[index] == NULL ? NULL : tensor_data(tensors[index]);
}

static void *at(const Tensor *t, int64_t elements) {
    return (char *)tensor_data(t) + (size_t)elements * dtype_size(t->dtype);
}

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
    args.stats = data_or_null(node->outputs, node->n_outputs, 2);
    return args;
}

AttentionArgs attention_backward_args(const Node *node) {
    const AttentionAttrs *attrs = node->attrs;
    AttentionArgs args = inputs_of(node);
    args.out = tensor_data(node->inputs[IN_OUT]);
    args.lse = tensor_data(node->inputs[IN_LSE]);
    args.stats = data_or_null(node->inputs, node->n_inputs, IN_STATS);
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
                       : data_or_null(node->outputs, node->n_outputs, 3);
}

/* The keys that a boolean bias leaves visible to query i of a head. */
static double seen_keys(const AttentionCall *call, const uint8_t *bias, int64_t b, int64_t h,
                        int64_t i, int64_t first, int64_t end) {
    HeadLayout l = call->bias_layout;
    const uint8_t *row = bias + b * l.batch + h * l.head + i * l.token;
    int64_t seen = 0;
    for (int64_t j = first; j < end; j++) seen += row[j] != 0;
    return (double)seen;
}

static double row_pairs(const AttentionCall *call, const AttentionArgs *masks, int64_t b) {
    bool is_boolean = call->bias == BIAS_BOOLEAN && masks->bias != NULL;
    int64_t heads = is_boolean && call->bias_layout.head != 0 ? call->NH : 1;
    double pairs = 0;
    for (int64_t i = 0; i < call->Tq; i++) {
        int64_t first, end;
        attention_visible_in(call, masks, b, i, &first, &end);
        for (int64_t h = 0; h < heads; h++) {
            pairs += is_boolean ? seen_keys(call, masks->bias, b, h, i, first, end)
                                : (double)(end - first);
        }
    }
    return pairs * ((double)call->NH / (double)heads);
}

double attention_pairs(const AttentionCall *call, const AttentionArgs *masks) {
    AttentionCall counted = *call;
    double pairs = 0;
    counted.ranges = call->ranges && masks->key_ranges != NULL;
    bool rows_differ = counted.ranges || (call->bias == BIAS_BOOLEAN && masks->bias != NULL);
    if (!rows_differ) return (double)call->B * row_pairs(&counted, masks, 0);
    for (int64_t b = 0; b < call->B; b++) pairs += row_pairs(&counted, masks, b);
    return pairs;
}

static Cost attention_cost(const Node *node, double products) {
    const AttentionAttrs *attrs = node->attrs;
    const AttentionCall *call = &attrs->call;
    double rows = (double)(call->B * call->NH) * (double)(2 * call->Tq + 2 * call->Tk);
    return (Cost){
        .flops = products * 2.0 * attention_pairs(call, &(AttentionArgs){0}) * (double)call->HS,
        .bytes = products / 2.0 * rows * (double)call->HS * (double)dtype_size(call->dtype)};
}

Cost attention_forward_cost(const Node *node) { return attention_cost(node, 2); }
Cost attention_backward_cost(const Node *node) { return attention_cost(node, 5); }
