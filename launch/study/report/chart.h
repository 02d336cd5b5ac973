/* Charts: what gnuplot is to draw, as one script, and the run of it. */
#pragma once

#include "launch/study/report/axis.h"
#include "launch/study/report/labels.h"
#include "launch/study/report/results.h"
#include "launch/study/report/text.h"

#include <stdio.h>

typedef struct ChartInfo {
    const char *name;    /* of its files: best, loss_time, ... */
    const char *caption; /* what is to be seen, for the page */
} ChartInfo;

enum { MOST_CHARTS = 5, MOST_LABELS = 64 };

/* The charts of a study, as a gnuplot script and a list. A chart that would be empty is left
 * out. */
typedef struct Charts {
    Text script;
    ChartInfo items[MOST_CHARTS];
    int count;
} Charts;

/* Text beside the right border at a height of the y axis, joined by a line to where its curve
 * ends. */
typedef struct ChartLabel {
    const char *text;
    Color color;
    double x, y;  /* the curve's end, in the axes' values */
    double place; /* 0 to 1 along y; labels_place finds it */
} ChartLabel;

/* The frame of a chart: size, title, axes, labels. Then come data blocks and the plot command. */
void chart_begin(Results *results, FILE *file, const char *title, const Axis *x, const Axis *y,
                 ChartLabel *labels, int n_labels);

/* Draws what `plot` says (the arguments of gnuplot's plot) as NAME.svg and NAME.png. */
void chart_end(FILE *file, const char *name, const char *plot);

/* The metric, the throughput and the memory against x; the loss against time and tokens. */
NODISCARD Status charts_of_marks(Results *results, Charts *charts);
NODISCARD Status charts_of_curves(Results *results, Charts *charts);

/* Runs gnuplot in STUDY/report on charts.gnuplot, which lies there. *missing is "" or the line that
 * says why there are no charts; then none is left of an earlier report. */
NODISCARD Status charts_draw(Results *results, const Charts *charts, const char *directory,
                             const char **missing);
