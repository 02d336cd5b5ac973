/* muon: updates matrices with orthogonalized momentum. For each matrix w (R, K) with gradient g:
 *
 *     m = mu m + (1 - mu) g
 *     u = mu m + (1 - mu) g with Nesterov, else m
 *     X = u / (s |u| + 1e-7), transposed if R > K; |.| is the Frobenius norm
 *     five times: A = X X^T;  X = a X + (b A + c A^2) X
 *     with NorMuon, for each of the R rows o of X and its moment v:
 *         v = beta2 v + (1 - beta2) mean(o^2);  o = o / (sqrt(v) + 1e-8)
 *     and X is rescaled to the norm that it had before
 *     w = w - lr (sqrt(max(1, R / K)) X + decay w)
 *
 * (s, a, b, c): MuonIteration. mu grows linearly from momentum_start in step 0 to momentum in step
 * momentum_warmup. Cautious decay applies only to elements with X w >= 0. g is the gradient divided
 * by the loss scale. It is not clipped: X does not depend on its length. lr is the StepState's
 * times lr_scale. A step with a non-finite norm is skipped as in core/ops/adamw.h.
 *
 * Arithmetic: f32 (f64 for f64); X, A and the products are f16 with f32 sums on a GPU if the
 * weights have 16 bits. Cost: 5 (4 r^2 k + 2 r^3) FLOPs a matrix with r = min(R, K), k = max(R,
 * K); on a GPU in 16 bits and with 2 k > 3 r 8 r^2 k + 28 r^3, because only r x r matrices are
 * iterated (see core/cuda/muon_iterate.cu). For the 85 M weights in GPT-2 124M's blocks: 1.63
 * TFLOP, on a GPU in 16 bits 1.30. A GPU launches 18 to 25 kernels for a batch of matrices of one
 * shape, 15 or 18 of them batched products, and 3 to 5 more if the batch is wide and tall: two
 * batches for GPT-2 124M.
 *
 * Sources: Jordan et al. 2024, "Muon"; Amsel et al., arXiv:2505.16932 (Polar Express); Li et al.,
 * arXiv:2510.05491 (NorMuon), algorithm 1; Chen et al., arXiv:2510.12402 (cautious decay). */
#pragma once

#include "core/program.h"
#include "core/step.h"

#include <math.h>

enum {
    MUON_ITERATIONS = 5,
    MUON_RESTART = 2,     /* CUDA: iterations before A is computed anew from X; see MuonPlaces */
    MUON_NORM_PARTS = 64, /* CUDA: the parts of a matrix whose squares are summed apart */
    MUON_BATCH_MATRICES = 64,
    MUON_BATCH_BYTES = 128 << 20, /* of X */
};

#define MUON_NORM_EPS 1e-7
#define MUON_ROW_EPS 1e-8

/* Where singular values end that start at 0.002 |u| or above: in 0.85 to 1.15 with Polar Express,
 * in 0.68 to 1.21 with the quintic. Smaller ones end lower. */
typedef enum MuonIteration { MUON_POLAR_EXPRESS, MUON_QUINTIC } MuonIteration;

typedef struct MuonAttrs {
    double momentum, momentum_start; /* in [0, 1) */
    int64_t momentum_warmup;         /* steps; 0: the momentum is constant */
    bool nesterov, cautious;
    MuonIteration iteration;
    double beta2; /* of NorMuon, in [0, 1) */
    double lr_scale, weight_decay;
} MuonAttrs;

/* A matrix: indices of its first element in the gradients and weights, in the masters, in the
 * momentum; and of its first row in the row moments. Masters and states may be this rank's only. */
typedef struct MuonMatrix {
    int64_t rows, columns;
    int64_t first, master, momentum, row;
} MuonMatrix;

/* Whole sections, or views of them. */
typedef struct MuonTensors {
    Tensor *grad, *norm, *step; /* read */
    Tensor *weight, *master;    /* written; master is NULL if the weight is f32 (or f64) */
    Tensor *momentum;
    Tensor *row_moments;        /* NULL: no NorMuon */
    Tensor *first_nonfinite;    /* see core/ops/adamw.h */
    const MuonMatrix *matrices; /* (n_matrices), copied */
    int n_matrices;
} MuonTensors;

/* Matrices [first, first + count) of (R, K), then of (K, R), which a GPU updates together. */
typedef struct MuonBatch {
    int first, count;
} MuonBatch;

/* The attributes of a node: matrices sorted by shape, tall ones behind others of their sides. */
typedef struct MuonWork {
    MuonAttrs attrs;
    const MuonMatrix *matrices;
    const MuonBatch *batches;
    int n_matrices, n_batches;
} MuonWork;

#ifdef __CUDACC__
#define MUON_INLINE static inline __host__ __device__
#else
#define MUON_INLINE static inline
#endif

/* `update`: from 1, as StepState's adam_step. */
MUON_INLINE double muon_momentum(const MuonAttrs *attrs, int64_t update) {
    double warmup = (double)attrs->momentum_warmup, past = (double)(update - 1);
    if (past >= warmup) return attrs->momentum;
    return attrs->momentum_start + (attrs->momentum - attrs->momentum_start) * past / warmup;
}

static inline int64_t muon_side(const MuonMatrix *m) {
    return m->rows < m->columns ? m->rows : m->columns;
}

static inline int64_t muon_long_side(const MuonMatrix *m) {
    return m->rows > m->columns ? m->rows : m->columns;
}

/* sqrt(max(1, R / K)). */
static inline double muon_shape_scale(const MuonMatrix *m) {
    return m->rows > m->columns ? sqrt((double)m->rows / (double)m->columns) : 1;
}

#ifdef __cplusplus
extern "C" {
#endif

/* X = a X + (b A + c A^2) X. */
typedef struct MuonCoefficients {
    double a, b, c;
} MuonCoefficients;
MuonCoefficients muon_coefficients(MuonIteration iteration, int index);

/* s of X = u / (s |u| + eps). */
double muon_norm_factor(MuonIteration iteration);

/* FLOPs of the iteration on a matrix; `gram`: on r x r matrices alone between restarts. */
double muon_flops(const MuonMatrix *shape, bool gram);

/* CUDA: the places in a batch's workspace, in bytes, and its size; X, Y (count, r, k) and A, B, Q
 * and a spare one (count, r, r) of elements of `each` bytes, the others f32. `gram`: how to
 * iterate, the way with fewer FLOPs in 16 bits; otherwise Q and the spare are absent. */
typedef struct MuonPlaces {
    bool gram;
    size_t x, y, a, b, q, spare;
    size_t parts;  /* (count, MUON_NORM_PARTS): sums of squares of u */
    size_t sums;   /* (count, max(R, K)): sums of squares of rows of X */
    size_t scales; /* (count): |X| / |X / (sqrt(v) + eps)| */
    size_t bytes;
} MuonPlaces;
MuonPlaces muon_places(const MuonMatrix *shape, int count, size_t each);

/* CPU: elements of the largest matrix, of its smaller side, and its rows. The workspace holds
 * `rows` doubles, then X and Y, then A and B. */
typedef struct MuonMost {
    int64_t elements, side, rows;
} MuonMost;
MuonMost muon_most(const MuonWork *work);

/* Rates out of range: STATUS_CONFIG, which sticks to the program. */
void muon_record(Program *p, MuonAttrs attrs, MuonTensors tensors);

#ifdef __cplusplus
}
#endif
