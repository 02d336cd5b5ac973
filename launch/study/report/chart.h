/* Charts: builds one gnuplot script and runs it. */
#pragma once

#include "launch/study/report/axis.h"
#include "launch/study/report/branches.h"
#include "launch/study/report/labels.h"
#include "launch/study/report/results.h"
#include "launch/study/report/text.h"
#include "launch/study/report/tuned.h"

#include <stdio.h>

typedef struct ChartInfo {
    const char *name;    /* of its files: best, loss_time, ... */
    const char *caption; /* for the page */
} ChartInfo;

enum { MOST_CHARTS = 9, MOST_LABELS = 64 };

/* The charts of a study: a gnuplot script and a list. Empty charts are omitted. */
typedef struct Charts {
    Text script;
    ChartInfo items[MOST_CHARTS];
    int count;
} Charts;

/* Opens the script. */
NODISCARD Status charts_open(Charts *charts);

/* A label beside the right border at a height of the y axis, connected by a line to the end of its
 * curve. */
typedef struct ChartLabel {
    const char *text;
    Color color;
    double x, y;  /* the end of the curve, in axis values */
    double place; /* 0 to 1 along y, set by labels_place */
} ChartLabel;

/* Writes the frame of a chart: size, title, axes, labels. Data blocks and the plot command
 * follow. */
void chart_begin(Results *results, FILE *file, const char *title, const Axis *x, const Axis *y,
                 ChartLabel *labels, int n_labels);

/* Draws `plot` (the arguments of gnuplot's plot) as NAME.svg and NAME.png. */
void chart_end(FILE *file, const char *name, const char *plot);

/* Metric, throughput and memory against x; loss against time, tokens and energy,
 * and the gradient noise scale. */
NODISCARD Status charts_of_marks(Results *results, Charts *charts);
NODISCARD Status charts_of_curves(Results *results, Charts *charts);

/* For runs of no study: training and validation loss, throughput and memory against time, and the
 * gradient noise scale. */
NODISCARD Status charts_of_runs(Results *results, Charts *charts);

/* The loss differences of branches over the batch; nothing without branches. */
NODISCARD Status charts_of_branches(Results *results, const Branches *branches, Charts *charts);

/* The result over the tuned value; nothing without tunings. */
NODISCARD Status charts_of_tunings(Results *results, const Tunings *tunings, Charts *charts);

/* Runs gnuplot on STUDY/report/charts.gnuplot. *missing = "", or the reason why there are no
 * charts; charts of an earlier report are then removed. */
NODISCARD Status charts_draw(Results *results, const Charts *charts, const char *directory,
                             const char **missing);
