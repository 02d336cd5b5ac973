#include "nn/optim/noise_scale.h"

#include <math.h>

static double weight_of_sample(int64_t number) {
    int64_t window = number / 10 > NOISE_WINDOW ? number / 10 : NOISE_WINDOW;
    return 1 / (double)(number < window ? number : window);
}

void noise_scale_add(NoiseScale *scale, const NoiseSample *s) {
    double unit = (double)s->unit, batch = (double)s->batch, share = unit / batch;
    double of_unit = s->unit_norm * s->unit_norm / ((double)s->units * share * share),
           of_batch = s->norm * s->norm;
    double square = (batch * of_batch - unit * of_unit) / (batch - unit),
           variance = (of_unit - of_batch) / (1 / unit - 1 / batch);
    if (!isfinite(square) || !isfinite(variance)) return;
    if (scale->part != NOISE_PART_UNKNOWN && scale->part != s->part) *scale = (NoiseScale){0};
    scale->part = s->part;
    double weight = weight_of_sample(++scale->samples);
    scale->square += weight * (square - scale->square);
    scale->variance += weight * (variance - scale->variance);
}

double noise_scale_sequences(const NoiseScale *scale) {
    bool is_known = scale->samples > 0 && scale->variance > 0 && scale->square > 0;
    return is_known ? scale->variance / scale->square : (double)NAN;
}
