/* What axes and lines are called, and their colors. */
#pragma once

#include "launch/study/report/results.h"

/* "validation loss" for val/loss; the key itself where it is not known. With its unit: "..., nats a
 * token". */
const char *metric_label(const char *metric);
const char *metric_axis_label(Results *results);
bool metric_is_loss(const char *metric);

/* "Best validation loss after 20 s of training". */
const char *metric_title(Results *results);

/* "sequences a rank (data.batch_size)" for a key; its value at x, a category's name or a number. */
const char *axis_label(Results *results, const char *key);
const char *x_text(Results *results, double x);

typedef struct Color {
    char hex[8]; /* #rrggbb */
} Color;

/* A series' color: told apart with any color vision (Okabe and Ito, "Color Universal Design",
 * 2008). `shade` in [-1, 1] goes from light to dark. */
Color series_color(int series, double shade);

/* gnuplot's filled point type of a series. */
int series_point(int series);
