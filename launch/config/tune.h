/* Tune: the candidates of a sweep's `tune`.
 *
 *     tune: {optimizer.lr: {from: 3e-4, to: 1.2e-2, points: 6}, optimizer.grad_clip: [0.5, 1],
 *            share: 25%}
 *
 * The candidates are all combinations of the values of its keys. Errors: STATUS_CONFIG with the
 * position in the config. */
#pragma once

#include "launch/config/node.h"

enum { TUNE_AXES = 4, TUNE_VALUES = 64 };

typedef struct TuneAxis {
    const char *key;
    const char *texts[TUNE_VALUES]; /* canonical, from low to high if they are numbers */
    int count;
    double ratio; /* between neighbors of a log-spaced axis; 0: listed */
} TuneAxis;

typedef struct Tune {
    TuneAxis axes[TUNE_AXES];
    int n_axes, count; /* candidates */
    double share;      /* of the budget, after which the first candidates end */
    Place place;
} Tune;

/* Reads the map `node`. */
NODISCARD Status tune_read(Arena *arena, const YamlNode *node, Tune *out);

/* The number that a text stands for; NaN for others. */
double tune_number(const char *text);

/* A value of a log-spaced axis as text, with three significant digits; without a fraction for keys
 * that need an integer. NULL if memory is out. */
const char *tune_text(Arena *arena, const char *key, double value);
