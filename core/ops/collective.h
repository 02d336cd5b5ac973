/* Work with other ranks as ops: a reduction is a node of the program, placed right behind the last
 * gradient that it sums, so that it runs while backward goes on. What each computes is told in
 * core/collectives.h; `collectives` must outlive the program, and the replay is collective. */
#pragma once

#include "core/collectives.h"
#include "core/program.h"

/* Each starts one, in place; a wait must follow. `t` is a vector of which every rank has a part,
 * where it is cut. */
void all_reduce_record(Program *p, const Collectives *collectives, Tensor *t, const char *label);
void reduce_scatter_record(Program *p, const Collectives *collectives, Tensor *t,
                           const char *label);
void all_gather_record(Program *p, const Collectives *collectives, Tensor *t, const char *label);

/* Waits for all but the `left` started last; `t` is what is complete then, for the planner and for
 * tables. */
void collectives_wait_record(Program *p, const Collectives *collectives, int left, Tensor *t);
