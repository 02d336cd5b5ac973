/* Recompute: backward recomputes a range of nodes instead of keeping its results from forward.
 *
 * A model records as usual between begin and end. When differentiation reaches the range, it
 * records the range again, from its inputs, and differentiates the copy. Only the inputs of the
 * range stay in memory, and the plan includes both memory and time. Nodes are functions of their
 * inputs (including dropout masks), so the copy is exact. Source: Chen et al., arXiv:1604.06174,
 * section 4. */
#pragma once

#include "core/program.h"

/* Opens a range after the last recorded node; pass the result to recompute_end. */
const Node *recompute_begin(const Program *p);

/* Closes the range. Does nothing if the program does not train or the range is empty. Ranges do not
 * overlap. */
void recompute_end(Program *p, const Node *before);

/* The first node of the range that ends with `last`; NULL if there is no such range. */
const Node *recompute_find(const Program *p, const Node *last);

/* A tensor written in the range, and its replacement in the copy. */
typedef struct Recomputed {
    Tensor *tensor, *copy;
} Recomputed;

/* Records nodes [first, end) again, after all others; *list (count) are the replaced tensors. */
void recompute_record(Program *p, int first, int end, Recomputed **list, int *count);

/* Drops the nodes of [first, end) whose results no later node reads. */
void recompute_prune(Program *p, int first, int end);
