#include "core/autodiff.h"

#include "core/ops/copy.h"
#include "core/passes/recompute.h"

#include <stdlib.h>

struct GradientSlot {
    const Tensor *of;
    Tensor *grad;
    bool written;  /* grad holds a value: the next contribution accumulates */
    bool consumed; /* the node that computed `of` has read grad; another tensor's sum may reuse its
                      memory */
    bool watched;  /* grad belongs to the caller and must hold this gradient at the end */
};

static GradientSlot *slot_find(Program *p, const Tensor *t) {
    for (int i = p->n_slots - 1; i >= 0; i--) {
        if (p->slots[i].of == t) return &p->slots[i];
    }
    return NULL;
}

static GradientSlot *slot_add(Program *p, const Tensor *t, Tensor *grad, bool written) {
    if (p->n_slots == p->slot_capacity) {
        int capacity = p->slot_capacity == 0 ? 64 : p->slot_capacity * 2;
        GradientSlot *grown = realloc(p->slots, (size_t)capacity * sizeof *grown);
        if (grown == NULL)
            return program_fail(p, STATUS_OUT_OF_MEMORY, "out of memory while differentiating");
        p->slots = grown;
        p->slot_capacity = capacity;
    }
    p->slots[p->n_slots] = (GradientSlot){.of = t, .grad = grad, .written = written};
    return &p->slots[p->n_slots++];
}

void autodiff_watch(Program *p, const Tensor *t, Tensor *grad, bool accumulate) {
    if (program_failed(p) || t == NULL) return;
    GradientSlot *slot = slot_add(p, t, grad, accumulate);
    if (slot != NULL) slot->watched = true;
}

/* The same memory holds the gradient of another tensor that has not been read yet. Adding to it
 * here would change both. */
static bool is_shared(const Program *p, const GradientSlot *slot) {
    for (int i = 0; i < p->n_slots; i++) {
        const GradientSlot *other = &p->slots[i];
        if (other != slot && other->grad == slot->grad && (!other->consumed || other->watched))
            return true;
    }
    return false;
}

static void slot_unshare(Program *p, GradientSlot *slot) {
    Tensor *own = program_tensor_like(p, BUFFER_ACTIVATION_GRADIENTS, slot->grad);
    copy_record(p, own, slot->grad, false);
    slot->grad = own;
}

GradTarget autodiff_target(Program *p, const Tensor *t) {
    if (program_failed(p) || t == NULL || !t->needs_grad) return (GradTarget){0};
    GradientSlot *slot = slot_find(p, t);
    if (slot == NULL)
        slot = slot_add(p, t, program_tensor_like(p, BUFFER_ACTIVATION_GRADIENTS, t), false);
    if (program_failed(p)) return (GradTarget){0};
    if (slot->written && is_shared(p, slot)) slot_unshare(p, slot);
    GradTarget target = {slot->grad, slot->written};
    slot->written = true;
    return target;
}

void autodiff_share(Program *p, const Tensor *t, Tensor *grad) {
    if (program_failed(p) || t == NULL || grad == NULL || !t->needs_grad) return;
    if (slot_find(p, t) == NULL) {
        slot_add(p, t, grad, true);
        return;
    }
    GradTarget target = autodiff_target(p, t);
    copy_record(p, target.grad, grad, target.accumulate);
}

Tensor *autodiff_gradient(Program *p, const Tensor *t) {
    const GradientSlot *slot = t == NULL ? NULL : slot_find(p, t);
    return slot == NULL || !slot->written ? NULL : slot->grad;
}

Tensor *autodiff_exclusive(Program *p, const Tensor *t) {
    GradientSlot *slot = t == NULL ? NULL : slot_find(p, t);
    if (program_failed(p) || slot == NULL || !slot->written) return NULL;
    if (slot->watched || is_shared(p, slot)) slot_unshare(p, slot);
    return slot->grad;
}

void autodiff_done(Node *node) {
    if (node != NULL) node->differentiated = true;
}

static void outputs_consumed(Program *p, const Node *node) {
    for (int i = 0; i < node->n_outputs; i++) {
        GradientSlot *slot = node->outputs[i] == NULL ? NULL : slot_find(p, node->outputs[i]);
        if (slot != NULL) slot->consumed = true;
    }
}

static bool has_gradient(Program *p, const Node *node) {
    for (int i = 0; i < node->n_outputs; i++) {
        if (autodiff_gradient(p, node->outputs[i]) != NULL) return true;
    }
    return false;
}

/* Moves the gradient collected for `t` to `heir`, its copy in a recomputed range. */
static void gradient_adopt(Program *p, const Tensor *t, const Tensor *heir) {
    GradientSlot *slot = slot_find(p, t);
    if (slot == NULL || slot->consumed) return;
    slot->consumed = true;
    slot_add(p, heir, slot->grad, slot->written);
}

static void node_differentiate(Program *p, Node *node) {
    if (node->differentiated || node->op->gradient == NULL || !has_gradient(p, node)) return;
    p->label = node->label;
    node->op->gradient(p, node);
    outputs_consumed(p, node);
    node->differentiated = true;
}

/* Records nodes [first, end) again, differentiates the copy, and drops the copied nodes that
 * backward does not need. */
static void segment_differentiate(Program *p, int first, int end) {
    Recomputed *list;
    int copy = p->n_nodes, count;
    recompute_record(p, first, end, &list, &count);
    for (int i = first; i < end; i++) autodiff_done(p->nodes[i]);
    for (int i = 0; i < count && !program_failed(p); i++)
        gradient_adopt(p, list[i].tensor, list[i].copy);
    int copy_end = p->n_nodes;
    for (int i = copy_end - 1; i >= copy && !program_failed(p); i--)
        node_differentiate(p, p->nodes[i]);
    if (!program_failed(p)) recompute_prune(p, copy, copy_end);
}

void autodiff_run(Program *p) {
    const char *label = p->label;
    for (int i = p->n_nodes - 1; i >= 0 && !program_failed(p); i--) {
        const Node *first = recompute_find(p, p->nodes[i]);
        if (first != NULL) {
            int end = i + 1;
            i = program_position(p, first);
            segment_differentiate(p, i, end);
        } else {
            node_differentiate(p, p->nodes[i]);
        }
    }
    p->label = label;
}
