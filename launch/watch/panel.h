/* The panel of a run: its state, its numbers, its loss curve, its throughput. Not collective. */
#pragma once

#include "launch/study/report/axis.h"
#include "launch/watch/watched_run.h"

/* What the panels of a view share, so that they can be compared. */
typedef struct PanelScale {
    int columns, chart_rows; /* chart_rows 0: no curve */
    bool unicode;
    bool by_tokens; /* the curves run over tokens, else over steps */
    double last;    /* their end */
    Axis loss;
} PanelScale;

enum { PANEL_TEXT_LINES = 6, PANEL_LABEL_COLUMNS = 7 };

/* The columns of the curve. */
int panel_curve_columns(const PanelScale *scale);

/* The position of a record on the x axis. */
double panel_x(const PanelScale *scale, const RunRecord *record);

/* means[i]: the mean over part i of n of the x axis of a member of RunRecord; NaN if it has none.
 * Ignores values that are not finite. */
NODISCARD Status panel_means(const PanelScale *scale, const RunRecords *records, size_t member,
                             int n, Arena *arena, double **means);

/* Writes the lines of a panel, each at most scale->columns wide: PANEL_TEXT_LINES, the chart, and
 * one line more if there is a message. */
NODISCARD Status panel_write(const WatchedRun *run, const PanelScale *scale, Arena *arena,
                             FILE *file);
