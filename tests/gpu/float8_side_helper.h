/* A program on one device, to be compared with the same program on another: test_float8_cuda.c. */
#pragma once

#include "core/bound_program.h"
#include "core/store.h"
#include "tests/harness.h"

enum { MAX_TENSORS = 24 };

typedef struct Side {
    Device *device;
    DType dtype;
    Store *store;
    BoundProgram bound;
    Program *p;
    Section *reals, *wide, *integers, *codes[2], *state;
    Tensor *inputs[MAX_TENSORS];
    float spans[MAX_TENSORS];
    int n_inputs;
} Side;

extern Device *side_cpu, *side_gpu;

/* Opens the devices; true, with a reason, without a GPU that has eight-bit products. */
bool side_is_skipped(void);

/* An empty program, and sections for its tensors: `dtype` is that of `reals`. */
bool side_open(Side *s, Device *device, DType dtype, bool trains);
void side_close(Side *s);
Tensor *side_tensor(Side *s, Section *section, int n_dims, const int64_t *shape);

/* An input of uniform numbers in (-span, span), the same on both sides: exact in bf16. */
Tensor *side_input(Side *s, int64_t rows, int64_t columns, float span);

/* Plans the program, binds it, and uploads its inputs. */
bool side_run(Side *s);

/* Sets a tensor to the numbers of input `input`. */
Status side_upload(Side *s, const Tensor *t, int input, float span);

/* The values of a tensor, for free(). */
double *side_values(Side *s, const Tensor *t);

/* |x - y| / |y| over all elements. */
double side_distance(Side *a, const Tensor *x, Side *b, const Tensor *y);
int64_t side_difference(Side *a, const Tensor *x, Side *b, const Tensor *y);
