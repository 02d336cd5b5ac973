/* Plan: assigns each buffer of a program an offset in one arena, based on buffer lifetimes. The
 * plan determines the allocation.
 *
 * A buffer lives from the first to the last node that uses it. Buffers with overlapping lifetimes
 * never overlap in memory. The planner places the largest buffers first, each at the lowest offset
 * that is free during its lifetime; it also tries the order of first use and keeps the smaller
 * arena.
 * Source: Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020,
 * section 5 (greedy by size). Not collective. */
#pragma once

#include "core/program.h"

enum { PLAN_ALIGNMENT = 256 };

typedef struct PlannedBuffer {
    int first, last; /* node indices; first > last: unused */
    size_t offset;   /* bytes into the arena */
} PlannedBuffer;

typedef struct Plan {
    int n_buffers;
    PlannedBuffer *buffers; /* by Buffer.index */
    size_t bytes;           /* of the arena */
    size_t live_bytes; /* the largest sum of live buffers at one node; a lower bound for any plan */
    int peak_node;     /* the node with that sum */
    size_t by_kind[BUFFER_KINDS]; /* live bytes at peak_node by kind; the rest of the arena is
                                     packing loss */
} Plan;

NODISCARD Status plan_create(const Program *p, Plan **out);
void plan_destroy(Plan **plan);

/* Assigns addresses to the program's buffers in an arena of at least plan->bytes, aligned to
 * PLAN_ALIGNMENT. */
void plan_bind(const Plan *plan, const Program *p, void *arena);
