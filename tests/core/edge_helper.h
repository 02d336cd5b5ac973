/* A small program over tensors that a test writes and reads as doubles. */
#pragma once

#include "core/bound_program.h"
#include "core/convert.h"
#include "core/store.h"
#include "tests/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* One program over tensors of a store. */
typedef struct Edge {
    Device *device;
    DType dtype;
    Store *store;
    BoundProgram bound;
    Program *program; /* the bound program */
    Section *tested, *wide, *integers, *bytes;
} Edge;

#define SHAPE(...)                                                                                 \
    ((int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t))), (int64_t[]) { __VA_ARGS__ }

/* the dtype of the section `wide`: f64 for f64, else f32 */
DType edge_wide(DType dtype);

/* Opens a program that trains. Add tensors and ops, then call edge_ready, which allocates the
 * memory. */
bool edge_begin(Edge *e, Device *device, DType dtype);
Tensor *edge_tensor(Edge *e, Section *section, int n_dims, const int64_t *shape);
Tensor *edge_step(Edge *e); /* a StepState */
bool edge_ready(Edge *e);
void edge_end(Edge *e);

void edge_write(Edge *e, const Tensor *t, const double *values);

/* Caller frees; call edge_run first. */
double *edge_read(Edge *e, const Tensor *t);
double *edge_run(Edge *e, const Tensor *result);

/* `value` rounded to `dtype`. */
double edge_rounded(double value, DType dtype);
bool edge_is_half(DType dtype);
bool edge_is_close(double a, double b, double tolerance); /* relative to b */

/* Prints the position of a failed check, because these tests are tables. */
void edge_check(bool good, const char *what, DType dtype, int64_t row, double found);
