/* The list of op cases: sizes (including ragged ones), options, and the recording of each. Gradient
 * checks run it in f64 on the CPU; device tests compare devices with it.
 *
 *   case_create    records forward and backward for a target and a dtype, and plans them; no device
 *   case_bind      allocates memory on a device and uploads the inputs
 *   case_replay    uploads inputs and seeds again, and runs the case
 *   case_read      returns a tensor of `inputs` or `outputs` (or a gradient) as doubles
 *
 * The differentiated objective is  sum over outputs of sum(seed * output).  The gradient of an
 * output starts from its seed, stored in `grad`. The loss starts its own gradient, so its seed is a
 * plain factor. */
#pragma once

#include "core/bound_program.h"
#include "core/store.h"

enum { CASE_MAX_INPUTS = 8, CASE_MAX_OUTPUTS = 3 };

typedef struct CaseRun CaseRun;

typedef struct OpCase {
    const char *name;
    void (*record)(CaseRun *run);
    int64_t B, T, C;
    int64_t N;          /* linear, activations: columns of the output; loss: rows of wte; attention:
                           heads */
    int64_t V;          /* embedding, loss: size of the vocabulary */
    int64_t chunk_rows; /* loss: rows of one chunk of logits */
    int64_t NH_kv, HS, pairs; /* qk, value_embedding; N is NH */
    bool bias, gelu, branch, norm;
    bool rms, plain; /* norm: rmsnorm; without gamma */
    int kind;        /* a GatedKind */
    double dropout, softcap;
    const char *backend; /* attention */
} OpCase;

/* An input, with the gradient that backward writes, or an output, with the gradient from which
 * backward starts. */
typedef struct CaseTensor {
    const char *name;
    Tensor *tensor, *grad; /* both in the case's store; an output's tensor is a copy of it */
    double *values;        /* of an input */
    double *seeds;         /* of an output */
} CaseTensor;

struct CaseRun {
    const OpCase *op;
    DType dtype;
    bool accumulate; /* the gradients of the inputs contain CASE_START before backward, which adds
                        to it */
    BoundProgram bound;
    Program *program; /* the bound program */
    Store *store;
    Device *device;
    CaseTensor inputs[CASE_MAX_INPUTS], outputs[CASE_MAX_OUTPUTS];
    int n_inputs, n_outputs;
    Tensor *step, *tokens; /* the StepState; (B, T) i32 */
    Section *activations, *weights, *activation_grads, *weight_grads, *losses, *state, *integers;
    Arena memory;
    uint64_t n_drawn;
};

#define CASE_START 0.25

extern const OpCase op_cases[];
extern const int n_op_cases;

NODISCARD Status case_create(const OpCase *op, Target target, DType dtype, bool accumulate,
                             CaseRun **out);
NODISCARD Status case_bind(CaseRun *run, Device *device);
NODISCARD Status case_replay(CaseRun *run);
void case_destroy(CaseRun **run);

/* Copies between a tensor of any floating-point dtype and doubles. */
NODISCARD Status case_read(const CaseRun *run, const Tensor *t, double *values);
NODISCARD Status case_write(const CaseRun *run, const Tensor *t, const double *values);

/* sum of seed * output, from the outputs on the device. */
NODISCARD Status case_objective(const CaseRun *run, long double *objective);

/* For the recorder of a case: declares its tensors. Values are uniform in offset +- scale; the
 * gradient of a weight is f32 (f64 for f64). */
Tensor *case_activation(CaseRun *run, const char *name, int n_dims, const int64_t *shape,
                        double scale);
Tensor *case_weight(CaseRun *run, const char *name, int n_dims, const int64_t *shape, double offset,
                    double scale);
void case_output(CaseRun *run, const char *name, Tensor *t);
void case_losses(CaseRun *run, Tensor *losses, double factor);
