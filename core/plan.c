#include "core/plan.h"

#include <stdlib.h>
#include <string.h>

static size_t aligned(size_t bytes) {
    return (bytes + PLAN_ALIGNMENT - 1) / PLAN_ALIGNMENT * PLAN_ALIGNMENT;
}

static void life_extend(Plan *plan, const Tensor *t, int node) {
    if (t == NULL || t->buffer->persistent) return;
    PlannedBuffer *life = &plan->buffers[t->buffer->index];
    if (life->first > node) life->first = node;
    if (life->last < node) life->last = node;
}

static void lives_find(Plan *plan, const Program *p) {
    for (int i = 0; i < p->n_buffers; i++)
        plan->buffers[i] = (PlannedBuffer){.first = p->n_nodes, .last = -1};
    for (int n = 0; n < p->n_nodes; n++) {
        const Node *node = p->nodes[n];
        for (int i = 0; i < node->n_inputs; i++) life_extend(plan, node->inputs[i], n);
        for (int i = 0; i < node->n_outputs; i++) life_extend(plan, node->outputs[i], n);
        life_extend(plan, node->workspace, n);
    }
}

static void live_at(const Plan *plan, const Program *p, int node, size_t by_kind[BUFFER_KINDS],
                    size_t *sum) {
    memset(by_kind, 0, BUFFER_KINDS * sizeof *by_kind);
    *sum = 0;
    for (int i = 0; i < p->n_buffers; i++) {
        if (plan->buffers[i].first > node || plan->buffers[i].last < node) continue;
        by_kind[p->buffers[i]->kind] += aligned(p->buffers[i]->bytes);
        *sum += aligned(p->buffers[i]->bytes);
    }
}

static void peak_find(Plan *plan, const Program *p) {
    for (int n = 0; n < p->n_nodes; n++) {
        size_t by_kind[BUFFER_KINDS], sum;
        live_at(plan, p, n, by_kind, &sum);
        if (sum <= plan->live_bytes) continue;
        plan->live_bytes = sum;
        plan->peak_node = n;
        memcpy(plan->by_kind, by_kind, sizeof by_kind);
    }
}

typedef struct Item {
    int index, first, last;
    size_t bytes, offset;
} Item;

static int by_size(const void *a, const void *b) {
    const Item *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return x->index - y->index;
}

static int by_first_use(const void *a, const void *b) {
    const Item *x = a, *y = b;
    return x->first != y->first ? x->first - y->first : by_size(a, b);
}

static int by_offset(const void *a, const void *b) {
    const Item *x = *(const Item *const *)a, *y = *(const Item *const *)b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return x->index - y->index;
}

/* The lowest gap that holds `item` among the placed items with an overlapping lifetime. `alive` is
 * scratch memory for them. */
static size_t lowest_gap(const Item *items, int n_placed, const Item *item, const Item **alive) {
    int n_alive = 0;
    for (int i = 0; i < n_placed; i++) {
        if (items[i].first <= item->last && item->first <= items[i].last)
            alive[n_alive++] = &items[i];
    }
    qsort(alive, (size_t)n_alive, sizeof *alive, by_offset);
    size_t end = 0;
    for (int i = 0; i < n_alive; i++) {
        if (alive[i]->offset >= end + item->bytes) break;
        if (alive[i]->offset + alive[i]->bytes > end) end = alive[i]->offset + alive[i]->bytes;
    }
    return end;
}

/* Places all items in the given order; returns the size of the arena. */
static size_t place(Item *items, int count, int (*order)(const void *, const void *),
                    const Item **alive) {
    qsort(items, (size_t)count, sizeof *items, order);
    size_t bytes = 0;
    for (int i = 0; i < count; i++) {
        items[i].offset = lowest_gap(items, i, &items[i], alive);
        if (items[i].offset + items[i].bytes > bytes) bytes = items[i].offset + items[i].bytes;
    }
    return bytes;
}

static int items_collect(const Plan *plan, const Program *p, Item *items) {
    int count = 0;
    for (int i = 0; i < p->n_buffers; i++) {
        PlannedBuffer life = plan->buffers[i];
        if (life.first > life.last) continue;
        items[count++] = (Item){i, life.first, life.last, aligned(p->buffers[i]->bytes), 0};
    }
    return count;
}

static void offsets_choose(Plan *plan, const Program *p, Item *items, const Item **alive) {
    int count = items_collect(plan, p, items);
    size_t by_use = place(items, count, by_first_use, alive);
    plan->bytes = place(items, count, by_size, alive);
    if (by_use < plan->bytes) plan->bytes = place(items, count, by_first_use, alive);
    for (int i = 0; i < count; i++) plan->buffers[items[i].index].offset = items[i].offset;
}

Status plan_create(const Program *p, Plan **out) {
    size_t capacity = (size_t)p->n_buffers + 1;
    Plan *plan = calloc(1, sizeof *plan);
    PlannedBuffer *buffers = calloc(capacity, sizeof *buffers);
    Item *items = calloc(capacity, sizeof *items);
    const Item **alive = calloc(capacity, sizeof *alive);
    bool allocated = plan != NULL && buffers != NULL && items != NULL && alive != NULL;
    if (allocated) {
        *plan = (Plan){.n_buffers = p->n_buffers, .buffers = buffers};
        lives_find(plan, p);
        peak_find(plan, p);
        offsets_choose(plan, p, items, alive);
        *out = plan;
    } else {
        free(plan);
        free(buffers);
    }
    free(items);
    free(alive);
    return allocated ? OK
                     : ERROR(STATUS_OUT_OF_MEMORY,
                             "out of memory while planning a program of %d ops", p->n_nodes);
}

void plan_destroy(Plan **plan) {
    if (plan == NULL || *plan == NULL) return;
    free((*plan)->buffers);
    free(*plan);
    *plan = NULL;
}

void plan_bind(const Plan *plan, const Program *p, void *arena) {
    for (int i = 0; i < p->n_buffers; i++) {
        const PlannedBuffer *planned = &plan->buffers[i];
        p->buffers[i]->data =
            planned->first > planned->last ? NULL : (char *)arena + planned->offset;
    }
}
