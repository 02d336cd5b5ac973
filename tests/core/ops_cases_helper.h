/* The one list of op cases: sizes (ragged ones too), options, and how each is recorded. Gradient
 * checks run it in f64 on the CPU, the device tests run it for agreement between devices.
 *
 *   case_create    records a case's forward and backward for a target and a dtype, and plans it;
 *   touches no device case_bind      gives it memory on a device and its inputs their values
 *   case_replay    uploads inputs and seeds again, and runs it
 *   case_read      a tensor of `inputs` or `outputs` (or a gradient) as doubles
 *
 * The objective that is differentiated is  sum over outputs of sum(seed * output):  an output's
 * gradient starts from its seed, which is in `grad`; the loss starts its own, so its seed is a
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
    int64_t N;          /* linear: columns of the output; loss: rows of wte; attention: heads */
    int64_t V;          /* embedding, loss: the vocabulary */
    int64_t chunk_rows; /* loss: rows of one chunk of logits */
    bool bias, gelu, branch;
    double dropout;
    const char *backend; /* attention */
} OpCase;

/* An input, with the gradient that backward writes, or an output, with the gradient that backward
 * starts from. */
typedef struct CaseTensor {
    const char *name;
    Tensor *tensor, *grad; /* both in the case's store; an output's tensor is a copy of it */
    double *values;        /* of an input */
    double *seeds;         /* of an output */
} CaseTensor;

struct CaseRun {
    const OpCase *op;
    DType dtype;
    bool accumulate; /* the gradients of the inputs hold CASE_START before backward, which adds to
                        it */
    BoundProgram bound;
    Program *program; /* the bound one */
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

/* sum of seed * output, from the device's outputs. */
NODISCARD Status case_objective(const CaseRun *run, long double *objective);

/* What a case's recorder declares. Values are uniform in offset +- scale; a weight's gradient is
 * f32 (f64 for f64). */
Tensor *case_activation(CaseRun *run, const char *name, int n_dims, const int64_t *shape,
                        double scale);
Tensor *case_weight(CaseRun *run, const char *name, int n_dims, const int64_t *shape, double offset,
                    double scale);
void case_output(CaseRun *run, const char *name, Tensor *t);
void case_losses(CaseRun *run, Tensor *losses, double factor);
