/* One list of op cases for every device. A case declares inputs, records, and names its results.
 * The helper runs it in f64 on the CPU and in the tested dtype on the tested device, with the same
 * random inputs, and compares.
 *
 * Bars, relative to the f64 result by Frobenius norm: 2e-6 in f32. With 16-bit tensors, twice the
 * error of the plain composition in the same precision on the same inputs
 * (tests/gpu/composition_helper.h), and at least twice the error of rounding a 16-bit result and
 * 2e-5. Memory is first filled with NaN. Each case runs twice and must repeat bit by bit.
 * CASE_VERBOSE in the environment prints every comparison. */
#pragma once

#include "core/autodiff.h"
#include "core/device.h"
#include "core/plan.h"
#include "core/step.h"
#include "core/store.h"
#include "tests/harness.h"

typedef struct Case Case;
typedef void (*CaseFn)(Case *c);

/* The dtype of a tensor: the tested one, or f32 in every run (f64 in the reference). */
typedef enum Width { NARROW, WIDE } Width;

/* For the body of a case: a random input, normally distributed with this mean and standard
 * deviation. */
Tensor *case_input(Case *c, Width width, double mean, double std, int n_dims, const int64_t *shape);
#define SHAPE(...)                                                                                 \
    ((int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t))), (int64_t[]) { __VA_ARGS__ }

/* Tokens in [0, V), half of them one hot token. */
Tensor *case_tokens(Case *c, int64_t V, int n_dims, const int64_t *shape);

/* Memory that an op sets: filled with NaN before the run. */
Tensor *case_output(Case *c, Width width, int n_dims, const int64_t *shape);

/* The StepState, as a u8 tensor; the case sets its fields. */
Tensor *case_step(Case *c, StepState state);

/* A parameter with a gradient, which is f32 even for 16-bit weights. With `accumulate` the gradient
 * starts from random numbers. The gradient is compared. */
Tensor *case_parameter(Case *c, double mean, double std, bool accumulate, int n_dims,
                       const int64_t *shape);

/* The same for an activation: its gradient has its own dtype. */
Tensor *case_activation(Case *c, double mean, double std, bool accumulate, int n_dims,
                        const int64_t *shape);

/* Makes `t` an output with a random gradient, from which backward starts. Its value is compared. */
void case_differentiate(Case *c, Tensor *t);

/* Compares a tensor that outlives the program (an input that is written, an output). */
void case_compare(Case *c, Tensor *t);

/* The purpose of a recording. The composition is recorded twice, once with its stored 16-bit dtypes
 * and once in f64 for the run; both must have the same nodes. For the intermediate results of a
 * fused op to be rounded, the body records separate ops. All roles have the same inputs and compare
 * the same tensors. */
typedef enum CaseRole { CASE_TESTED, CASE_REFERENCE, CASE_COMPOSITION } CaseRole;
CaseRole case_role(const Case *c);

Program *case_program(Case *c);
DType case_dtype(const Case *c);          /* the tested one, in every role */
bool case_trains(Case *c, bool training); /* call it before recording */

/* Runs a case in the given dtype; checks by CUnit. The caller keeps `device`. */
void case_run(CaseFn body, const char *name, Device *device, DType dtype);

/* Calls `visit` for each node that a case records for a target; runs nothing. */
void case_visit(CaseFn body, Target target, void (*visit)(const Node *node, void *self),
                void *self);

/* Runs a case's composition in bf16 on the CPU. Its error must be within 1e-2 of the reference, six
 * times one rounding; otherwise it computes something else and its bar is meaningless. */
void case_run_composition(CaseFn body, const char *name);

/* The GPU, opened once; NULL if there is none. Under a sanitizer products are not timed, because
 * that takes minutes. */
Device *case_gpu(void);

/* Whether CASE_SANITIZED is in the environment: skip tests that take minutes under a sanitizer. */
bool case_sanitized(void);
