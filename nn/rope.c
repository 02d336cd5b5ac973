#include "nn/rope.h"

#include <math.h>

static const double two_pi = 6.283185307179586;

static double clamped(double x, double low, double high) {
    return x < low ? low : x > high ? high : x;
}

/* Between the wavelengths of the two factors the frequency changes from scaled to unscaled. */
static double llama3_radians(const RopeOptions *o, double radians) {
    double rotations = (double)o->original_positions * radians / two_pi;
    double unscaled = clamped(
        (rotations - o->low_freq_factor) / (o->high_freq_factor - o->low_freq_factor), 0, 1);
    return (1 - unscaled) * radians / o->factor + unscaled * radians;
}

/* The index of the pair that rotates `beta` times over the original context. */
static double yarn_pair(const RopeOptions *o, int64_t dims, double beta) {
    return (double)dims * log((double)o->original_positions / (beta * two_pi)) / (2 * log(o->base));
}

static double yarn_radians(const RopeOptions *o, int64_t dims, double radians, int pair) {
    double last = (double)dims - 1;
    double low = fmax(floor(yarn_pair(o, dims, o->beta_fast)), 0);
    double high = fmin(ceil(yarn_pair(o, dims, o->beta_slow)), last);
    if (low == high) high += 0.001; /* as transformers does */
    double scaled = clamped(((double)pair - low) / (high - low), 0, 1);
    return scaled * radians / o->factor + (1 - scaled) * radians;
}

static double scaled_radians(const RopeOptions *o, int64_t dims, double radians, int pair) {
    switch (o->scaling) {
    case ROPE_SCALING_LINEAR: return radians / o->factor;
    case ROPE_SCALING_LLAMA3: return llama3_radians(o, radians);
    case ROPE_SCALING_YARN: return yarn_radians(o, dims, radians, pair);
    default: return radians;
    }
}

static Status dims_check(const RopeOptions *o, int64_t HS, int64_t dims) {
    if (!(o->fraction > 0) || o->fraction > 1 || dims < 2 || dims % 2 != 0) {
        return ERROR(STATUS_CONFIG,
                     "rope: fraction %g of %lld dimensions is %lld, which is not an even number",
                     o->fraction, (long long)HS, (long long)dims);
    }
    if (dims > 2 * ROPE_MAX_PAIRS) {
        return ERROR(STATUS_CONFIG,
                     "rope: %lld dimensions of a head rotate, at most %d are possible",
                     (long long)dims, 2 * ROPE_MAX_PAIRS);
    }
    if (!(o->base > 1)) return ERROR(STATUS_CONFIG, "rope: base %g is not above 1", o->base);
    return OK;
}

static Status scaling_check(const RopeOptions *o) {
    if (o->scaling == ROPE_SCALING_NONE) return OK;
    if (!(o->factor >= 1)) return ERROR(STATUS_CONFIG, "rope: factor %g is below 1", o->factor);
    if (o->scaling == ROPE_SCALING_LINEAR) return OK;
    if (o->original_positions < 1)
        return ERROR(STATUS_CONFIG, "rope: this scaling needs the original number of positions");
    if (o->scaling == ROPE_SCALING_LLAMA3 && !(o->high_freq_factor > o->low_freq_factor)) {
        return ERROR(STATUS_CONFIG, "rope: high_freq_factor %g is not above low_freq_factor %g",
                     o->high_freq_factor, o->low_freq_factor);
    }
    if (o->scaling == ROPE_SCALING_YARN && !(o->beta_slow > 0 && o->beta_fast >= o->beta_slow)) {
        return ERROR(STATUS_CONFIG,
                     "rope: beta_fast %g and beta_slow %g, of which the first must "
                     "be the larger and the second above 0",
                     o->beta_fast, o->beta_slow);
    }
    return OK;
}

static double magnitude_of(const RopeOptions *o) {
    if (o->scaling != ROPE_SCALING_YARN) return 1;
    return o->attention_factor > 0 ? o->attention_factor : 0.1 * log(o->factor) + 1;
}

Status rope_frequencies(const RopeOptions *options, int64_t HS, RopeFrequencies *out) {
    int64_t dims = (int64_t)(options->fraction * (double)HS);
    TRY(dims_check(options, HS, dims));
    TRY(scaling_check(options));
    *out = (RopeFrequencies){.pairs = (int)(dims / 2), .magnitude = magnitude_of(options)};
    for (int i = 0; i < out->pairs; i++) {
        double radians = pow(options->base, -2.0 * i / (double)dims);
        out->radians[i] = scaled_radians(options, dims, radians, i);
    }
    return OK;
}
