#include "core/passes/recompute.h"

#include <string.h>

const Node *recompute_begin(const Program *p) { return program_last(p); }

void recompute_end(Program *p, const Node *before) {
    if (program_failed(p) || !p->training || before == program_last(p)) return;
    Segment *segment = arena_alloc(&p->arena, sizeof *segment);
    if (segment == NULL) {
        program_fail(p, STATUS_OUT_OF_MEMORY, "out of memory while recording");
        return;
    }
    int first = before == NULL ? 0 : program_position(p, before) + 1;
    *segment = (Segment){p->nodes[first], program_last(p), p->segments};
    p->segments = segment;
}

const Node *recompute_find(const Program *p, const Node *last) {
    for (const Segment *s = p->segments; s != NULL; s = s->next) {
        if (s->last == last) return s->first;
    }
    return NULL;
}

typedef struct Copy {
    Program *p;
    Recomputed *list;
    int count;
} Copy;

/* The copy's tensor for a tensor of the range; tensors from outside the range stay. A view of a
 * replaced buffer becomes the same view of the new one. */
static Tensor *replaced(Copy *copy, Tensor *t) {
    if (t == NULL) return NULL;
    for (int i = copy->count - 1; i >= 0; i--) {
        if (copy->list[i].tensor == t) return copy->list[i].copy;
    }
    for (int i = copy->count - 1; i >= 0; i--) {
        if (copy->list[i].tensor->buffer != t->buffer) continue;
        Tensor *view = program_view(copy->p, copy->list[i].copy->buffer, t->offset, t->dtype,
                                    t->n_dims, t->shape);
        if (view != NULL) view->needs_grad = t->needs_grad;
        copy->list[copy->count++] = (Recomputed){t, view};
        return view;
    }
    return t;
}

static Tensor *output_replace(Copy *copy, Tensor *t) {
    Tensor *known = replaced(copy, t);
    if (t == NULL || known != t || t->buffer->persistent) return known;
    Tensor *new = program_tensor_like(copy->p, t->buffer->kind, t);
    if (new == NULL) return NULL;
    new->needs_grad = t->needs_grad;
    copy->list[copy->count++] = (Recomputed){t, new};
    return new;
}

static Node *node_copy(Copy *copy, const Node *node) {
    Program *p = copy->p;
    Tensor *inputs[NODE_MAX_TENSORS], *outputs[NODE_MAX_TENSORS];
    for (int i = 0; i < node->n_inputs; i++) inputs[i] = replaced(copy, node->inputs[i]);
    for (int i = 0; i < node->n_outputs; i++) outputs[i] = output_replace(copy, node->outputs[i]);
    p->label = node->label;
    return program_record(p, (Recording){node->op, node->attrs, node->attrs_bytes, inputs,
                                         node->n_inputs, outputs, node->n_outputs, node->kernel});
}

void recompute_record(Program *p, int first, int end, Recomputed **list, int *count) {
    int capacity = (end - first) * 2 * NODE_MAX_TENSORS;
    Copy copy = {.p = p, .list = arena_alloc(&p->arena, (size_t)capacity * sizeof *copy.list)};
    if (copy.list == NULL) program_fail(p, STATUS_OUT_OF_MEMORY, "out of memory while recording");
    for (int i = first; i < end && !program_failed(p); i++) node_copy(&copy, p->nodes[i]);
    *list = copy.list;
    *count = copy.count;
}

static bool reads_buffer(const Node *node, const Buffer *buffer) {
    for (int i = 0; i < node->n_inputs; i++) {
        if (node->inputs[i] != NULL && node->inputs[i]->buffer == buffer) return true;
    }
    return false;
}

static bool is_read_after(const Program *p, int index) {
    const Node *node = p->nodes[index];
    for (int o = 0; o < node->n_outputs; o++) {
        if (node->outputs[o] == NULL) continue;
        for (int n = index + 1; n < p->n_nodes; n++) {
            if (reads_buffer(p->nodes[n], node->outputs[o]->buffer)) return true;
        }
    }
    return false;
}

void recompute_prune(Program *p, int first, int end) {
    for (int i = end - 1; i >= first; i--) {
        if (is_read_after(p, i)) continue;
        memmove(&p->nodes[i], &p->nodes[i + 1], (size_t)(p->n_nodes - i - 1) * sizeof *p->nodes);
        p->n_nodes--;
    }
}
