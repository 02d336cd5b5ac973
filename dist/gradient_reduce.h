/* Data parallelism as ops: an all-reduce is a node of the program, placed right behind the last gradient of its bucket,
 * so that it runs while backward goes on. */
#pragma once

#include "core/collectives.h"
#include "core/program.h"
#include "core/store.h"

/* Records, into a program whose backward is complete, the reduction over ranks of the section `gradients`, bucket by
 * bucket (dist/buckets.h), then that of `loss`, then the wait for all of them. `collectives` must outlive the program.
 * With one rank nothing is recorded. The replay is collective. */
void gradient_reduce_record(Program *p, const Collectives *collectives, Section *gradients, Tensor *loss);
