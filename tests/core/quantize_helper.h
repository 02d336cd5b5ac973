/* A program on the CPU with the tensors of a layer, for the tests of quantization and its fusions.
 */
#pragma once

#include "tests/harness.h"

#include "core/bound_program.h"
#include "core/ops/linear_f8.h"
#include "core/ops/linear_f8_gradient.h"
#include "core/store.h"

enum { ROWS = 48, K = 32, N = 64 };

typedef struct Fixture {
    Device *device;
    Store *store;
    BoundProgram bound;
    Program *p;
    Section *floats, *integers;
    Tensor *x, *w, *bias, *y, *dy, *dx, *dw, *db, *scales, *observed;
} Fixture;

bool fixture_open(Fixture *f, bool trains);

/* A tensor of f32 in the store. */
Tensor *fixture_tensor(Fixture *f, const char *name, int n_dims, const int64_t *shape);

/* Plans and binds the program, and draws x, w, bias, dy and their scales. */
bool fixture_bind(Fixture *f);
void fixture_close(Fixture *f);

/* Draws numbers in (-size, size). */
void fixture_fill(const Tensor *t, uint64_t stream, float size);

/* All products of a layer in eight bits; `scales` receives one scale each of x, w and dy. */
LinearF8 fixture_layer(const Fixture *f, Tensor scales[3]);
