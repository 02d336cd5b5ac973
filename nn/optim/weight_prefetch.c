#include "nn/optim/weight_prefetch.h"

#include "core/ops/collective.h"
#include "nn/optim/buckets.h"

enum { AHEAD = 16 }; /* gathers that are started before the first of them is waited for */

static bool is_of_blocks(const Parameters *parameters, int span) {
    return parameters->spans[span].first < parameters->n_decayed &&
           !span_has_table(parameters, span);
}

int gather_late(const Parameters *parameters) {
    int late = 0;
    if (!parameters->sharing.is_shared) return 0;
    while (late < parameters->n_spans && is_of_blocks(parameters, late)) late++;
    return late > 1 ? late - 1 : late;
}

static Tensor *weights_of(Program *p, const Parameters *parameters, int span) {
    return span_view(p, parameters->weights, parameters->spans[span]);
}

void gather_span_record(Program *p, const Parameters *parameters, const Collectives *collectives,
                        int span) {
    Tensor *weights = weights_of(p, parameters, span);
    all_gather_record(p, collectives, weights,
                      arena_printf(&p->arena, "all_gather of bucket %d", span));
}

static bool reads(const Node *node, const Section *weights, Span range) {
    for (int i = 0; i < node->n_inputs; i++) {
        if (span_holds(weights, range, node->inputs[i])) return true;
    }
    return false;
}

/* The late spans and the nodes that read them first, in that order. */
static SpanNode *readings_find(Program *p, const Parameters *parameters, int late) {
    SpanNode *readings = arena_alloc(&p->arena, ((size_t)late + 1) * sizeof *readings);
    if (readings == NULL)
        return program_fail(p, STATUS_NO_ROOM, "out of memory while recording gathers");
    for (int s = 0; s < late; s++) {
        int node = 0;
        while (node < p->n_nodes &&
               !reads(p->nodes[node], parameters->weights, parameters->spans[s]))
            node++;
        readings[s] = (SpanNode){node, s};
    }
    span_nodes_sort(readings, late);
    return readings;
}

/* From the last to the first, so that the places of the earlier ones stay. */
void gather_insert(Program *p, const Parameters *parameters, const Collectives *collectives) {
    int late = gather_late(parameters);
    if (late == 0 || program_failed(p)) return;
    const char *label = p->label;
    SpanNode *readings = readings_find(p, parameters, late);
    program_label(p, "weights");
    for (int i = late - 1; i >= 0 && !program_failed(p); i--) {
        int ahead = late - 1 - i < AHEAD - 1 ? late - 1 - i : AHEAD - 1;
        if (i + AHEAD < late) {
            gather_span_record(p, parameters, collectives, readings[i + AHEAD].span);
            program_move_last(p, readings[i].node);
        }
        collectives_wait_record(p, collectives, ahead, weights_of(p, parameters, readings[i].span));
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
