/* adamw: one update of whole sections, or of ranges of them at once, with the gradient clipped by
 * its norm.
 *
 *     g = grad / loss_scale * min(1, clip / norm)   (norm after the loss scale; where clip is 0:
 *     ADAMW_MOST_NORM) m = b1 m + (1 - b1) g          v = b2 v + (1 - b2) g^2
 *     w = w - lr (m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) + decay w)
 *
 * t is read from the StepState, and lr is its learning rate times lr_scale. A norm that is not
 * finite changes nothing: the step is skipped, the host sees the norm, and `first_nonfinite` keeps
 * the first gradient that is not finite, since a GPU already computes the next step when the host
 * looks. Source: Loshchilov and Hutter, arXiv:1711.05101, algorithm 2. */
#pragma once

#include "core/program.h"
#include "core/step.h"

#include <math.h>

/* An eps below this divides by 0: the square of so small a gradient is 0 in f32. */
#define ADAMW_LEAST_EPS 1e-20

/* The square of a greater gradient is not finite in f32, and an infinite v would end all
 * updates. */
#define ADAMW_MOST_NORM 1e18

typedef struct AdamwAttrs {
    double beta1, beta2; /* at least 0 and below 1 */
    double eps;          /* at least ADAMW_LEAST_EPS */
    double lr_scale;     /* of the StepState's learning rate */
    double weight_decay, clip;
} AdamwAttrs;

/* A range of weights: `first` counts in the gradient and the weight, `place` in the master and the
 * moments, which may be this rank's shards alone. */
typedef struct AdamwRange {
    int64_t first, place, count;
} AdamwRange;

typedef struct AdamwTensors {
    Tensor *grad, *norm, *step; /* read */
    Tensor *weight, *master; /* written; master is NULL where the weight itself is f32 (or f64) */
    Tensor *m, *v;
    Tensor *first_nonfinite;  /* i64 (1), zeroed by the host: the greatest adamw_first_nonfinite so
                                 far; NULL: not wanted */
    const AdamwRange *ranges; /* (n_ranges), copied; NULL: everything is updated */
    int n_ranges;
} AdamwTensors;

/* What a node keeps. */
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

/* 1 / (1 - beta^t), exact to rounding where beta is near 1, where 1 - pow(beta, t) is not. */
ADAMW_INLINE double adamw_correction(double beta, double t) {
    return -1 / expm1(t * log1p(beta - 1));
}

/* What the gradient is multiplied by: the loss scale is divided out and the norm is clipped. */
ADAMW_INLINE double adamw_gradient_scale(double clip, double loss_scale, double norm) {
    double scaled = norm / loss_scale,
           most = clip > 0 && clip < ADAMW_MOST_NORM ? clip : ADAMW_MOST_NORM;
    return (scaled > most ? most / scaled : 1.0) / loss_scale;
}

/* One number for a gradient that is not finite: greater for an earlier step and, within it, for an
 * earlier element of the gradients' section; above 0. Elements are told apart by 64s, at which
 * tensors start: see core/store.h. */
ADAMW_INLINE int64_t adamw_first_nonfinite(uint64_t step, int64_t element) {
    return (int64_t)(((0x7FFFFFFFu - (step & 0x7FFFFFFFu)) << 32) |
                     (0xFFFFFFFFu - (uint64_t)element / 64));
}

/* The first of the 64 elements that it is among; false where there is none. */
static inline bool adamw_first_nonfinite_element(int64_t found, int64_t *element) {
    *element = (int64_t)(0xFFFFFFFFu - ((uint64_t)found & 0xFFFFFFFFu)) * 64;
    return found > 0;
}

/* STATUS_CONFIG sticks to the program where betas or eps are out of range. */
void adamw_record(Program *p, AdamwAttrs attrs, AdamwTensors tensors);
