#include "nn/optim/buckets.h"

#include <stdlib.h>

static int by_node(const void *a, const void *b) {
    const SpanNode *x = a, *y = b;
    return x->node != y->node ? x->node - y->node : x->span - y->span;
}

void span_nodes_sort(SpanNode *list, int count) {
    qsort(list, (size_t)count, sizeof *list, by_node);
}

Tensor *span_view(Program *p, Section *section, Span span) {
    size_t each = dtype_size(section->dtype);
    return program_view(p, &section->buffer, (size_t)span.first * each, section->dtype, 1,
                        &span.count);
}

bool span_holds(const Section *section, Span span, const Tensor *t) {
    if (t == NULL || t->buffer != &section->buffer) return false;
    int64_t at = (int64_t)(t->offset / dtype_size(section->dtype));
    return at >= span.first && at < span.first + span.count;
}

bool span_has_table(const Parameters *parameters, int index) {
    for (int i = 0; i < parameters->count; i++) {
        const Parameter *parameter = parameters->list[i];
        if (!parameter->is_table) continue;
        if (span_holds(parameters->weights, parameters->spans[index], parameter->weight))
            return true;
    }
    return false;
}
