/* Plan: an offset in one arena for every buffer of a program, from how long each lives. The plan is
 * the allocation.
 *
 * A buffer lives from the first node that mentions it to the last. Two buffers whose lives meet
 * never overlap. Buffers are placed largest first, each at the lowest offset where it fits among
 * those alive with it; the order of first use is tried as well and the smaller arena is taken.
 * Source: Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020,
 * section 5 (greedy by size). Not collective. */
#pragma once

#include "core/program.h"

enum { PLAN_ALIGNMENT = 256 };

typedef struct PlannedBuffer {
    int first, last; /* node indices; first > last: never used */
    size_t offset;   /* bytes into the arena */
} PlannedBuffer;

typedef struct Plan {
    int n_buffers;
    PlannedBuffer *buffers; /* by Buffer.index */
    size_t bytes;           /* of the arena */
    size_t live_bytes; /* the largest sum of buffers alive at one node: no plan can be smaller */
    int peak_node;     /* where that is */
    size_t by_kind[BUFFER_KINDS]; /* what is alive there, by kind; what the arena has beyond their
                                     sum is packing loss */
} Plan;

NODISCARD Status plan_create(const Program *p, Plan **out);
void plan_destroy(Plan **plan);

/* Gives the program's buffers their addresses in an arena of at least plan->bytes, aligned to
 * PLAN_ALIGNMENT. */
void plan_bind(const Plan *plan, const Program *p, void *arena);
