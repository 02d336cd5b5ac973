/* Labels of axes and lines, and colors. */
#pragma once

#include "launch/study/report/results.h"

/* "validation loss" for val/loss; an unknown key unchanged. With its unit: "..., nats per token".
 * metric_unit: "nats", as sentences say it; "" if it has none. */
const char *metric_label(const char *metric);
const char *metric_unit(const char *metric);
const char *metric_axis_label(Results *results);
bool metric_is_loss(const char *metric);

/* "Best validation loss after 20 s of training". */
const char *metric_title(Results *results);

/* axis_label: "sequences per rank (data.batch_size)" for a key. x_text: its value at x, the name of
 * a category or a number. */
const char *axis_label(Results *results, const char *key);
const char *x_text(Results *results, double x);

typedef struct Color {
    char hex[8]; /* #rrggbb */
} Color;

/* The color of a series, distinguishable with any color vision (Okabe and Ito, "Color Universal
 * Design", 2008). `shade` in [-1, 1] goes from light to dark. */
Color series_color(int series, double shade);

/* gnuplot's point type for a series, filled or hollow. */
int series_point(int series, bool hollow);
