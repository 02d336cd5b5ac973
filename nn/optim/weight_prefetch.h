/* Weights of a shared optimizer that ranks gather when forward wants them.
 *
 * AdamW leaves a rank with the new weights of its own pieces. What forward reads first, the tables,
 * the vectors and the first matrices, is gathered while the rest is updated (nn/optim/update.h).
 * The other spans of the blocks' matrices are late: the next program over them gathers them, each
 * while the layers before it are computed, and waits for a span where its first weight is read. So
 * between two steps the late spans are whole on no rank, and who reads weights in another way
 * gathers them before.
 *
 * Source: Zhao et al. 2023, "PyTorch FSDP", arXiv:2304.11277, section 3.3.2 (prefetching of
 * all-gathers). */
#pragma once

#include "core/collectives.h"
#include "nn/parameters.h"

/* Spans [0, gather_late(parameters)) are late: none where the optimizer is not shared. The last
 * span of matrices, which forward reads first, is not among them unless it is the only one. */
int gather_late(const Parameters *parameters);

/* Into a program that is complete otherwise and reads weights: gathers of the late spans, in the
 * order in which it reads them, a few ahead of what it computes, and the waits for them. */
void gather_insert(Program *p, const Parameters *parameters, const Collectives *collectives);

/* Appends gathers of all late spans, and a wait. */
void gather_record(Program *p, const Parameters *parameters, const Collectives *collectives);

/* Starts to gather one span. */
void gather_span_record(Program *p, const Parameters *parameters, const Collectives *collectives,
                        int span);
