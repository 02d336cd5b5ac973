/* Steps of the op muon on a few matrices, on any device, for tests. */
#pragma once

#include "core/ops/muon.h"
#include "tests/core/edge_helper.h"

enum { MUON_MATRICES_MAX = 80 };

/* Matrices one after the other, without padding: of each only rows and columns are set. */
typedef struct MuonProblem {
    MuonMatrix matrices[MUON_MATRICES_MAX];
    int count;
    MuonAttrs attrs;
    bool normuon;
    bool offset; /* master, momentum and row moments start later than the gradients */
} MuonProblem;

typedef struct MuonRun {
    Edge e;
    int64_t elements, rows; /* of all matrices */
    int64_t skipped;        /* elements before the masters and states */
    Tensor *grad, *norm, *step, *weight, *master, *momentum, *row_moments, *first_nonfinite;
} MuonRun;

/* Records the op in `dtype`; 16-bit weights have masters. The weights are `weights`, the states 0.
 * Call muon_run_close also after a failure. */
bool muon_run_open(MuonRun *run, Device *device, DType dtype, const MuonProblem *problem,
                   const double *weights);
void muon_run_close(MuonRun *run);

/* One update; the norm is that of `grads`. */
void muon_run_step(MuonRun *run, uint64_t step, double lr, const double *grads);

/* The f32 (f64) weights, without `skipped`; the caller frees. */
double *muon_run_weights(MuonRun *run);
