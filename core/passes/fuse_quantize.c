#include "core/passes/fuse_quantize.h"

#include "core/ops/cross_entropy.h"
#include "core/ops/gelu.h"
#include "core/ops/linear_f8_gradient.h"
#include "core/ops/norm.h"
#include "core/ops/relu2.h"

#include <string.h>

static bool holds(Tensor *const *tensors, int count, const Buffer *buffer) {
    for (int i = 0; i < count; i++) {
        if (tensors[i] != NULL && tensors[i]->buffer == buffer) return true;
    }
    return false;
}

static bool touches(const Node *node, const Buffer *buffer) {
    return holds(node->inputs, node->n_inputs, buffer) ||
           holds(node->outputs, node->n_outputs, buffer);
}

/* x and w are inputs of linear_f8 for differentiation alone. */
static void drop_unread(const Program *p) {
    for (int i = 0; i < p->n_nodes; i++) {
        Node *node = p->nodes[i];
        if (node->op == &linear_f8_op) node->inputs[5] = node->inputs[6] = NULL;
    }
}

/* The nearest node before `at` that touches the buffer; -1 if there is none. */
static int previous_user(const Program *p, int at, const Buffer *buffer) {
    int i = at - 1;
    while (i >= 0 && !touches(p->nodes[i], buffer)) i--;
    return i;
}

/* The first node after `at` that touches the buffer; -1 if there is none. */
static int next_user(const Program *p, int at, const Buffer *buffer) {
    for (int i = at + 1; i < p->n_nodes; i++) {
        if (touches(p->nodes[i], buffer)) return i;
    }
    return -1;
}

static bool is_written_between(const Program *p, int first, int end, const Buffer *buffer) {
    for (int i = first + 1; i < end; i++) {
        if (holds(p->nodes[i]->outputs, p->nodes[i]->n_outputs, buffer)) return true;
    }
    return false;
}

static void node_remove(Program *p, int at) {
    memmove(&p->nodes[at], &p->nodes[at + 1], (size_t)(p->n_nodes - at - 1) * sizeof *p->nodes);
    p->n_nodes--;
}

static bool loss_is_fusible(const Node *from, const Node *node) {
    return from->outputs[1] == node->inputs[0] && node->outputs[QUANTIZED] != NULL &&
           node->outputs[QUANTIZE_SUMS] == NULL;
}

static bool is_norm(const Op *op) { return op == &layernorm_op || op == &rmsnorm_op; }

static bool norm_is_fusible(const Node *from, const Node *node) {
    const Tensor *q = node->outputs[QUANTIZED], *turned = node->outputs[QUANTIZED_TRANSPOSED];
    return from->outputs[0] == node->inputs[0] && (q != NULL ? q : turned)->dtype == DTYPE_F8E4M3 &&
           node->outputs[QUANTIZE_SUMS] == NULL;
}

static bool gelu_is_fusible(const Program *p, int writer, int at) {
    const Node *from = p->nodes[writer];
    const Tensor *x = p->nodes[at]->inputs[0];
    if (from->outputs[0] != x) return false;
    if (from->op == &gelu_op && previous_user(p, writer, x->buffer) >= 0) return false;
    return !is_written_between(p, writer, at, from->inputs[0]->buffer);
}

static bool is_only_reader(const Program *p, int at) {
    const Node *node = p->nodes[at];
    const Buffer *buffer = node->inputs[0]->buffer;
    return node->op == &quantize_op && !buffer->persistent && next_user(p, at, buffer) < 0;
}

/* Whether y is read by the quantization at `at` and, at most, by a relu2_backward whose result is
 * read by a quantization alone. */
static bool relu2_is_fusible(const Program *p, int writer, int at) {
    const Node *from = p->nodes[writer];
    const Tensor *x = from->inputs[0], *y = from->outputs[0];
    if (p->nodes[at]->inputs[0] != y || previous_user(p, writer, y->buffer) >= 0) return false;
    int backward = next_user(p, at, y->buffer);
    if (backward < 0) return !is_written_between(p, writer, at, x->buffer);
    const Node *back = p->nodes[backward];
    if (back->op != &relu2_backward_op || back->inputs[0] != y) return false;
    if (next_user(p, backward, y->buffer) >= 0) return false;
    int gradient = next_user(p, backward, back->outputs[0]->buffer);
    return gradient >= 0 && is_only_reader(p, gradient) &&
           p->nodes[gradient]->inputs[0] == back->outputs[0] &&
           !is_written_between(p, writer, gradient, x->buffer);
}

/* The node that wrote x, if it and the quantization at `at` can become one. */
static int fusible_writer(const Program *p, int at) {
    const Node *node = p->nodes[at];
    const Tensor *x = node->inputs[0];
    if (node->op != &quantize_op || x->buffer->persistent) return -1;
    int writer = previous_user(p, at, x->buffer);
    if (writer < 0) return -1;
    const Node *from = p->nodes[writer];
    if (from->op == &relu2_op) return relu2_is_fusible(p, writer, at) ? writer : -1;
    if (!is_only_reader(p, at)) return -1;
    if (from->op == &cross_entropy_op) return loss_is_fusible(from, node) ? writer : -1;
    if (is_norm(from->op)) return norm_is_fusible(from, node) ? writer : -1;
    bool is_gelu = from->op == &gelu_op || from->op == &gelu_backward_op;
    return is_gelu && gelu_is_fusible(p, writer, at) ? writer : -1;
}

/* cross_entropy writes q, from which float8_transpose makes the other layout. */
static void loss_fuse(Program *p, int writer, int at) {
    Node *from = p->nodes[writer], *node = p->nodes[at];
    Tensor *q = node->outputs[QUANTIZED], *transposed = node->outputs[QUANTIZED_TRANSPOSED];
    from->inputs[CROSS_ENTROPY_SCALE] = node->inputs[1];
    from->outputs[CROSS_ENTROPY_Q] = q;
    from->outputs[CROSS_ENTROPY_OBSERVED] = node->outputs[QUANTIZE_OBSERVED];
    if (transposed != NULL) {
        const char *label = p->label;
        p->label = node->label;
        float8_transpose_record(p, transposed, q);
        program_move_before(p, program_last(p), node);
        p->label = label;
    }
    node_remove(p, program_position(p, node));
}

static void norm_fuse(Program *p, int writer, int at) {
    Node *from = p->nodes[writer], *node = p->nodes[at];
    from->inputs[NORM_SCALE] = node->inputs[1];
    from->outputs[0] = NULL;
    from->outputs[NORM_Q] = node->outputs[QUANTIZED];
    from->outputs[NORM_TRANSPOSED] = node->outputs[QUANTIZED_TRANSPOSED];
    from->outputs[NORM_OBSERVED] = node->outputs[QUANTIZE_OBSERVED];
    node_remove(p, at);
}

/* Gives the node values of its own: attributes of nodes may be shared. */
static void values_set(Program *p, Node *node, QuantizeValues values) {
    QuantizeAttrs *attrs = arena_alloc(&p->arena, sizeof *attrs);
    if (attrs == NULL) {
        program_fail(p, STATUS_OUT_OF_MEMORY, "out of memory while recording");
        return;
    }
    *attrs = *(const QuantizeAttrs *)node->attrs;
    attrs->values = values;
    node->attrs = attrs;
}

static void gelu_fuse(Program *p, int writer, int at) {
    const Node *from = p->nodes[writer];
    Node *node = p->nodes[at];
    if (from->op == &gelu_op) {
        values_set(p, node, QUANTIZE_GELU);
        node->inputs[0] = from->inputs[0];
    } else {
        values_set(p, node, QUANTIZE_GELU_GRADIENT);
        node->inputs[2] = from->inputs[0];
    }
    node_remove(p, writer);
}

/* The backward of relu2 reads y = relu2(x). With both quantizations fused, it reads x, and y is
 * gone. Without a backward, forward alone is fused. */
static void relu2_fuse(Program *p, int writer, int at) {
    Node *node = p->nodes[at];
    int backward = next_user(p, at, node->inputs[0]->buffer);
    Tensor *x = p->nodes[writer]->inputs[0];
    if (backward >= 0) {
        Node *gradient = p->nodes[next_user(p, backward, p->nodes[backward]->outputs[0]->buffer)];
        values_set(p, gradient, QUANTIZE_RELU2_GRADIENT);
        gradient->inputs[2] = x;
        node_remove(p, backward);
    }
    values_set(p, node, QUANTIZE_RELU2);
    node->inputs[0] = x;
    node_remove(p, writer);
}

/* Returns where the search goes on: behind an activation that is gone, the list has moved up. */
static int writer_fuse(Program *p, int writer, int at) {
    const Op *op = p->nodes[writer]->op;
    if (op == &cross_entropy_op) {
        loss_fuse(p, writer, at);
    } else if (is_norm(op)) {
        norm_fuse(p, writer, at);
    } else {
        (op == &relu2_op ? relu2_fuse : gelu_fuse)(p, writer, at);
        return at - 1;
    }
    return at;
}

void quantize_fuse(Program *p) {
    if (program_failed(p)) return;
    drop_unread(p);
    for (int i = p->n_nodes - 1; i >= 0 && !program_failed(p); i--) {
        int writer = fusible_writer(p, i);
        if (writer >= 0) i = writer_fuse(p, writer, i);
    }
}
