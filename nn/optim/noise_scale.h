/* The gradient noise scale, in sequences:
 *
 *     B_noise = tr(Sigma) / |G|^2,
 *
 * with the gradient G of the whole distribution and the covariance Sigma of the gradient of one
 * sequence. A batch far below it gains nearly nothing from averaging, a batch far above it wastes
 * sequences. From the norms of the gradients of `unit` sequences and of all `batch` sequences of a
 * step:
 *
 *     |G|^2     = (batch |g_batch|^2 - unit |g_unit|^2) / (batch - unit)
 *     tr(Sigma) = (|g_unit|^2 - |g_batch|^2) / (1 / unit - 1 / batch)
 *
 * Both are unbiased; their ratio is not, so each is averaged over samples before the division. The
 * average is over the first NOISE_WINDOW samples, then exponential over the newest tenth of all
 * samples, but at least NOISE_WINDOW.
 * Source: McCandlish et al., arXiv:1812.06162, appendix A.1. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { NOISE_WINDOW = 10 };

/* The parameters of the gradients. Those of norm layers alone give another noise scale than all. */
typedef enum NoisePart { NOISE_PART_UNKNOWN, NOISE_PART_NORMS, NOISE_PART_ALL } NoisePart;

/* The averages; zeros: no samples yet. */
typedef struct NoiseScale {
    double variance, square; /* tr(Sigma), |G|^2 */
    int64_t samples;
    NoisePart part; /* unknown: that of the next sample */
} NoiseScale;

/* One step. The contribution of a unit is its part of the gradient of the step, the mean over all
 * sequences. */
typedef struct NoiseSample {
    int64_t unit, batch, units; /* sequences of a unit, of the step; units that are measured */
    double unit_norm; /* sqrt of the sum, over these units, of the squared norms of contributions */
    double norm;      /* of the gradient of the step */
    NoisePart part;
} NoiseSample;

/* Adds a sample; ignores one that is not finite. The averages start anew with one of another part.
 */
void noise_scale_add(NoiseScale *scale, const NoiseSample *sample);

/* B_noise; NaN if there is no sample or an average is not positive. */
double noise_scale_sequences(const NoiseScale *scale);
