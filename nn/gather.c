#include "nn/gather.h"

#include "core/ops/collective.h"

#include <stdlib.h>

enum { AHEAD = 16 }; /* gathers that are started before the first of them is waited for */

/* A span, and the first node that reads a weight of it. */
typedef struct Reading {
    int node, span;
} Reading;

int gather_late(const Parameters *parameters) {
    int64_t end = parameters->n_decayed;
    int late = 0;
    if (!parameters->sharing.is_shared) return 0;
    for (int i = 0; i < parameters->count; i++) {
        const Parameter *parameter = parameters->list[i];
        int64_t first = (int64_t)(parameter->weight->offset / dtype_size(parameter->weight->dtype));
        if (parameter->is_table && first < end) end = first;
    }
    while (late < parameters->n_spans && parameters->spans[late].first < end) late++;
    return late > 1 ? late - 1 : late;
}

static Tensor *span_view(Program *p, const Parameters *parameters, int span) {
    Section *weights = parameters->weights;
    Span range = parameters->spans[span];
    return program_view(p, &weights->buffer, (size_t)range.first * dtype_size(weights->dtype), weights->dtype, 1,
                        &range.count);
}

void gather_span_record(Program *p, const Parameters *parameters, const Collectives *collectives, int span) {
    Tensor *weights = span_view(p, parameters, span);
    all_gather_record(p, collectives, weights, arena_printf(&p->arena, "all_gather of bucket %d", span));
}

static bool reads(const Node *node, const Section *weights, Span range) {
    for (int i = 0; i < node->n_inputs; i++) {
        const Tensor *t = node->inputs[i];
        if (t == NULL || t->buffer != &weights->buffer) continue;
        int64_t at = (int64_t)(t->offset / dtype_size(weights->dtype));
        if (at >= range.first && at < range.first + range.count) return true;
    }
    return false;
}

static int by_node(const void *a, const void *b) {
    const Reading *x = a, *y = b;
    return x->node != y->node ? x->node - y->node : x->span - y->span;
}

/* The late spans in the order in which the program reads them. */
static Reading *readings_find(Program *p, const Parameters *parameters, int late) {
    Reading *readings = arena_alloc(&p->arena, ((size_t)late + 1) * sizeof *readings);
    if (readings == NULL) return program_fail(p, STATUS_FAILURE, "out of memory while recording gathers");
    for (int s = 0; s < late; s++) {
        int node = 0;
        while (node < p->n_nodes && !reads(p->nodes[node], parameters->weights, parameters->spans[s])) node++;
        readings[s] = (Reading){node, s};
    }
    qsort(readings, (size_t)late, sizeof *readings, by_node);
    return readings;
}

/* From the last to the first, so that the places of the earlier ones stay. */
void gather_insert(Program *p, const Parameters *parameters, const Collectives *collectives) {
    int late = gather_late(parameters);
    if (late == 0 || program_failed(p)) return;
    const char *label = p->label;
    Reading *readings = readings_find(p, parameters, late);
    program_label(p, "weights");
    for (int i = late - 1; i >= 0 && !program_failed(p); i--) {
        int ahead = late - 1 - i < AHEAD - 1 ? late - 1 - i : AHEAD - 1;
        if (i + AHEAD < late) {
            gather_span_record(p, parameters, collectives, readings[i + AHEAD].span);
            program_move_last(p, readings[i].node);
        }
        collectives_wait_record(p, collectives, ahead, span_view(p, parameters, readings[i].span));
        program_move_last(p, readings[i].node);
    }
    for (int i = (late < AHEAD ? late : AHEAD) - 1; i >= 0 && !program_failed(p); i--) {
        gather_span_record(p, parameters, collectives, readings[i].span);
        program_move_last(p, 0);
    }
    p->label = label;
}

void gather_record(Program *p, const Parameters *parameters, const Collectives *collectives) {
    int late = gather_late(parameters);
    program_label(p, "weights");
    for (int s = late - 1; s >= 0; s--) gather_span_record(p, parameters, collectives, s);
    if (late > 0) collectives_wait_record(p, collectives, 0, parameters->weights->flat);
}
