/* Recompute: what backward needs of a range of nodes is computed again there, instead of kept from
 * forward.
 *
 * Between begin and end a model records as always. When differentiation comes back to the range,
 * the range is recorded a second time, from its inputs, and gradients are taken of that copy; so
 * only what enters the range stays in memory, and the planner sees both costs. Nodes are functions
 * of their inputs (dropout's masks too), so the copy is exact. Source: Chen et al.,
 * arXiv:1604.06174, section 4. */
#pragma once

#include "core/program.h"

/* Opens a range behind the node recorded last; pass what it returns to recompute_end. */
const Node *recompute_begin(const Program *p);

/* Closes the range. Nothing where the program does not train, or the range is empty. Ranges do not
 * overlap. */
void recompute_end(Program *p, const Node *before);

/* The first node of the range whose last node is `last`; NULL where there is none. */
const Node *recompute_find(const Program *p, const Node *last);

/* A tensor that nodes of the range write, and the one that stands for it in the copy. */
typedef struct Recomputed {
    Tensor *tensor, *copy;
} Recomputed;

/* Records nodes [first, end) again behind the others; *list (count) are the tensors that it
 * replaced. */
void recompute_record(Program *p, int first, int end, Recomputed **list, int *count);

/* Drops those of nodes [first, end) whose results no later node reads. */
void recompute_prune(Program *p, int first, int end);
