/* Collectives as ops: a reduction is a node of the program, right after the last gradient that it
 * sums, so it overlaps with backward. For their definitions see core/collectives.h. `collectives`
 * must outlive the program. The replay is collective. */
#pragma once

#include "core/collectives.h"
#include "core/program.h"

/* Each starts one collective, in place; a wait must follow. `t` is a vector; if it is divided,
 * every rank has one part. */
void all_reduce_record(Program *p, const Collectives *collectives, Tensor *t, const char *label);
void reduce_scatter_record(Program *p, const Collectives *collectives, Tensor *t,
                           const char *label);
void all_gather_record(Program *p, const Collectives *collectives, Tensor *t, const char *label);

/* What a node does with collectives: it starts one over `bytes` bytes, or waits for all but the
 * last `left`. */
typedef struct CollectiveStep {
    bool waits;
    int left;
    CollectiveKind kind;
    size_t bytes;
} CollectiveStep;

/* False if the node is not one of the ops of this file. */
bool collective_step(const Node *node, CollectiveStep *out);

/* Waits for all but the last `left` collectives. `t` is complete afterwards, for the planner and
 * for tables. */
void collectives_wait_record(Program *p, const Collectives *collectives, int left, Tensor *t);
