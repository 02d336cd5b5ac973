/* All gradients of a small model, against finite differences in f64 and against each other. */
#pragma once

#include "tests/nn/model_helper.h"

enum { ROWS = 8, MAX_T = 16 };
extern int32_t tokens[ROWS * MAX_T], targets[ROWS * MAX_T];

/* lr 0: the update does not change the weights, so a step only computes. */
extern const StepState still;

/* Two blocks of GPT-2, 29 tokens (padded to 32), C = 8, 2 heads, 9 positions. */
ModelOptions options_f64(int64_t B, int64_t accumulation, double dropout, const char *backend);

/* Creates the model with weights far from the initialization and takes one step. Call
 * test_model_destroy after a failure, too. */
bool model_open(const ModelOptions *options, TestModel *model);

/* Checks elements of each parameter's gradient to 1e-6. */
void check_gradients(ModelOptions options);

/* Checks that loss and gradients over the same eight rows differ by at most the tolerance. */
void check_same(ModelOptions a, ModelOptions b, double tolerance);
