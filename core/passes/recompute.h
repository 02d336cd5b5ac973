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

/* Opens a range at the next node to be recorded; pass what it returns to recompute_end. */
int recompute_begin(const Program *p);

/* Closes the range. Nothing where the program does not train, or the range is empty. Ranges do not
 * overlap. */
void recompute_end(Program *p, int first);

/* For core/autodiff.c: the range whose last node is `last`; false where there is none. */
bool recompute_find(const Program *p, int last, int *first);

/* For core/autodiff.c: records nodes [first, end) again behind the others, and hands the gradients
 * collected for their outputs to the copies. */
void recompute_record(Program *p, int first, int end);

/* For core/autodiff.c: drops those of nodes [first, end) whose results nobody reads. */
void recompute_prune(Program *p, int first, int end);
