/* adamw: updates whole sections, or several ranges of them, with the gradient clipped by its norm.
 *
 *     g = grad / loss_scale * min(1, clip / norm)
 *     m = b1 m + (1 - b1) g
 *     v = b2 v + (1 - b2) g^2
 *     w = w - lr (m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) + decay w)
 *
 * The norm is that of grad / loss_scale; clip 0 means ADAMW_MOST_NORM. t comes from the StepState;
 * lr is its learning rate times lr_scale. If the norm is not finite, the step is skipped: nothing
 * changes, the host sees the norm, and `first_nonfinite` keeps the first non-finite gradient,
 * because a GPU already computes the next step when the host reads the norm. Source: Loshchilov and
 * Hutter, arXiv:1711.05101, algorithm 2. */
#pragma once

#include "core/program.h"
#include "core/step.h"

#include <math.h>

/* A smaller eps leads to division by 0: the square of so small a gradient is 0 in f32. */
#define ADAMW_LEAST_EPS 1e-20

/* The square of a larger gradient is infinite in f32, and an infinite v would stop all further
 * updates. */
#define ADAMW_MOST_NORM 1e18

typedef struct AdamwAttrs {
    double beta1, beta2; /* in [0, 1) */
    double eps;          /* >= ADAMW_LEAST_EPS */
    double lr_scale;     /* multiplies the learning rate of the StepState */
    double weight_decay, clip;
} AdamwAttrs;

/* A range of weights: `first` is an index in the gradient and the weight, `place` one in the master
 * and the moments, which may be this rank's shards only. */
typedef struct AdamwRange {
    int64_t first, place, count;
} AdamwRange;

typedef struct AdamwTensors {
    Tensor *grad, *norm, *step; /* read */
    Tensor *weight, *master;    /* written; master is NULL if the weight is f32 (or f64) */
    Tensor *m, *v;
    Tensor *first_nonfinite;  /* i64 (1), zeroed by the host: the greatest adamw_first_nonfinite so
                                 far; NULL: not recorded */
    const AdamwRange *ranges; /* (n_ranges), copied; NULL: updates everything */
    int n_ranges;
} AdamwTensors;

/* The attributes of a node. */
typedef struct AdamwWork {
    AdamwAttrs attrs;
    const AdamwRange *ranges;
    int n_ranges;
} AdamwWork;

#ifdef __CUDACC__
#define ADAMW_INLINE static inline __host__ __device__
#else
#define ADAMW_INLINE static inline
#endif

/* 1 / (1 - beta^t), accurate to rounding even for beta near 1, unlike 1 - pow(beta, t). */
ADAMW_INLINE double adamw_correction(double beta, double t) {
    return -1 / expm1(t * log1p(beta - 1));
}

/* The factor of the gradient: divides by the loss scale and clips the norm. */
ADAMW_INLINE double adamw_gradient_scale(double clip, double loss_scale, double norm) {
    double scaled = norm / loss_scale,
           most = clip > 0 && clip < ADAMW_MOST_NORM ? clip : ADAMW_MOST_NORM;
    return (scaled > most ? most / scaled : 1.0) / loss_scale;
}

/* Encodes a non-finite gradient as a positive number: greater for an earlier step and, within a
 * step, for an earlier element of the gradient section. The resolution is 64 elements, the
 * alignment of tensors: see core/store.h. */
ADAMW_INLINE int64_t adamw_first_nonfinite(uint64_t step, int64_t element) {
    return (int64_t)(((0x7FFFFFFFu - (step & 0x7FFFFFFFu)) << 32) |
                     (0xFFFFFFFFu - (uint64_t)element / 64));
}

/* The first element of the group of 64 that contains it; false if all gradients were finite. */
static inline bool adamw_first_nonfinite_element(int64_t found, int64_t *element) {
    *element = (int64_t)(0xFFFFFFFFu - ((uint64_t)found & 0xFFFFFFFFu)) * 64;
    return found > 0;
}

/* Betas or eps out of range: STATUS_CONFIG, which sticks to the program. */
void adamw_record(Program *p, AdamwAttrs attrs, AdamwTensors tensors);
