/* Predict: how long a program will take, from what its ops cost and what the device reaches at its
 * best.
 *
 *     t(op) = launch + flops / (s_f F) + bytes / (s_b M)
 *
 * F and M are the device's ceilings (core/perf/ceilings.h), s_f and s_b the shares of them that the
 * op's kernel reaches: Kernel.speed, fitted to the profiles of eleven steps on an H200
 * (docs/results/predictions.md). Ops follow one another on a GPU, so a step is the sum of its ops.
 * Source: Williams, Waterman and Patterson, "Roofline", CACM 2009, with shares for each kind of op,
 * and the sum of both sides where the roofline has their maximum: products overlap with their
 * memory's traffic only in part. */
#pragma once

#include "core/perf/ceilings.h"
#include "core/program.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Seconds; 0 where the ceilings are not known. Touches no device. */
double predict_node(const Node *node, const Ceilings *ceilings);
double predict_program(const Program *p, const Ceilings *ceilings);

#ifdef __cplusplus
}
#endif
