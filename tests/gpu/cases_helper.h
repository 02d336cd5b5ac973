/* One list of op cases for every device. A case declares inputs, records, and names what it leaves;
 * the helper runs it in f64 on the CPU and in the dtype and on the device under test, with the same
 * fresh random inputs, and compares.
 *
 * Bars, relative to the f64 result by Frobenius norm: 2e-6 in f32. With 16-bit tensors twice the
 * error of the plain composition in the same precision, which is run on the same inputs
 * (tests/gpu/composition_helper.h); at least twice the error that rounding a 16-bit result alone
 * makes, and 2e-5. Memory is poisoned with NaN first, and each case runs twice and must repeat bit
 * by bit. With CASE_VERBOSE in the environment every comparison is printed. */
#pragma once

#include "core/autodiff.h"
#include "core/device.h"
#include "core/plan.h"
#include "core/step.h"
#include "core/store.h"
#include "tests/harness.h"

typedef struct Case Case;
typedef void (*CaseFn)(Case *c);

/* Whether a tensor is of the dtype under test, or f32 (f64 in the reference) in every run. */
typedef enum Width { NARROW, WIDE } Width;

/* For the body of a case: a fresh input, normal with this standard deviation around a mean. */
Tensor *case_input(Case *c, Width width, double mean, double std, int n_dims, const int64_t *shape);
#define SHAPE(...)                                                                                 \
    ((int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t))), (int64_t[]) { __VA_ARGS__ }

/* Tokens in [0, V), half of them one hot token. */
Tensor *case_tokens(Case *c, int64_t V, int n_dims, const int64_t *shape);

/* Memory that an op sets: poisoned before the run. */
Tensor *case_output(Case *c, Width width, int n_dims, const int64_t *shape);

/* The StepState, as a u8 tensor; fields as set in the case. */
Tensor *case_step(Case *c, StepState state);

/* A parameter whose gradient, f32 beside 16-bit weights, is wanted, accumulated onto random numbers
 * where asked; the gradient is compared. */
Tensor *case_parameter(Case *c, double mean, double std, bool accumulate, int n_dims,
                       const int64_t *shape);

/* The same for an activation: its gradient is of its own dtype. */
Tensor *case_activation(Case *c, double mean, double std, bool accumulate, int n_dims,
                        const int64_t *shape);

/* Makes `t` an output with a random gradient, from which backward starts. Its value is compared. */
void case_differentiate(Case *c, Tensor *t);

/* Compares a tensor that outlives the program (an input that is written, an output). */
void case_compare(Case *c, Tensor *t);

/* What the body records for. The composition is recorded once as it is held, in 16 bits, and once
 * as it is run, in f64, and both must be the same nodes: what a fused op keeps to itself is rounded
 * where the body records separate ones. All roles have the same inputs and compare the same
 * tensors. */
typedef enum CaseRole { CASE_TESTED, CASE_REFERENCE, CASE_COMPOSITION } CaseRole;
CaseRole case_role(const Case *c);

Program *case_program(Case *c);
DType case_dtype(const Case *c);          /* the one under test, in every role */
bool case_trains(Case *c, bool training); /* before anything is recorded */

/* Runs a case in the given dtype; checks by CUnit. `device` stays the caller's. */
void case_run(CaseFn body, const char *name, Device *device, DType dtype);

/* Calls `visit` for each node that a case records for a target; nothing is run. */
void case_visit(CaseFn body, Target target, void (*visit)(const Node *node, void *self),
                void *self);

/* Runs a case's composition in bf16 on the CPU: it must be within 1e-2 of the reference, six times
 * what one rounding makes, or it composes something else and its bar allows anything. */
void case_run_composition(CaseFn body, const char *name);

/* The GPU, opened once; NULL where there is none. Where tests are sanitized no product is timed,
 * which takes minutes. */
Device *case_gpu(void);

/* CASE_SANITIZED is in the environment: what takes minutes under a sanitizer is to be left out. */
bool case_sanitized(void);
