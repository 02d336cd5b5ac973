/* Spans of a section, as a program sees them. */
#pragma once

#include "core/program.h"
#include "nn/parameters.h"

/* A span, and the node that matters to it. */
typedef struct SpanNode {
    int node, span;
} SpanNode;

/* By node, then by span. */
void span_nodes_sort(SpanNode *list, int count);

/* The span's elements. NULL where the program has failed. */
Tensor *span_view(Program *p, Section *section, Span span);

/* Whether a tensor of the section begins within the span; false for NULL and for another
 * section's. */
bool span_holds(const Section *section, Span span, const Tensor *t);

/* Whether the parameters' span `index` is the tables'. */
bool span_has_table(const Parameters *parameters, int index);
