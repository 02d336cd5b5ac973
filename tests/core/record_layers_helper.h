/* Recorders of cases for norms, activations and sums, and what all recorders share. */
#pragma once

#include "tests/core/ops_cases_helper.h"

#include <math.h>

/* A shape with its number of dimensions. */
#define SHAPE(...)                                                                                 \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]) { __VA_ARGS__ }

static inline Tensor *matrix(CaseRun *run, const char *name, int64_t N, int64_t K) {
    return case_weight(run, name, SHAPE(N, K), 0, 1.5 / sqrt((double)K));
}

static inline Tensor *vector(CaseRun *run, const char *name, int64_t N, double offset) {
    return case_weight(run, name, SHAPE(N), offset, 0.5);
}

static inline Tensor *activation(CaseRun *run, const char *name) {
    const OpCase *op = run->op;
    return case_activation(run, name, SHAPE(op->B, op->T, op->C), 2);
}

void record_norm(CaseRun *run);
void record_residual(CaseRun *run);
void record_relu2(CaseRun *run);
void record_gated(CaseRun *run);
void record_activations_recomputed(CaseRun *run);
void record_mix(CaseRun *run);
void record_mix_blocks(CaseRun *run);
void record_add(CaseRun *run);
void record_short_conv(CaseRun *run);
