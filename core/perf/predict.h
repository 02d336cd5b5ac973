/* Predict: the expected time of a program, from the costs of its ops and the ceilings of the
 * device.
 *
 *     t(op) = launch + flops / (s_f F) + bytes / (s_b M)
 *
 * F and M are the device's ceilings (core/perf/ceilings.h), s_f and s_b the fractions of them that
 * the op's kernel reaches: Kernel.speed, fitted to the profiles of eleven steps on an H200
 * (docs/results/predictions.md). A GPU runs ops one after another, so a step is the sum of its ops.
 * Source: Williams, Waterman and Patterson, "Roofline", CACM 2009, with fractions for each kind of
 * op, and the sum of both terms instead of their maximum, because products overlap only partly with
 * their memory traffic. */
#pragma once

#include "core/perf/ceilings.h"
#include "core/program.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Seconds; 0 if the ceilings are unknown. Touches no device. */
double predict_node(const Node *node, const Ceilings *ceilings);
double predict_program(const Program *p, const Ceilings *ceilings);

#ifdef __cplusplus
}
#endif
