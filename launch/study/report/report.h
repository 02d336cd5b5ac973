/* The report of a study: its tables, charts and one page that carries them all.
 *
 * Read are STUDY/sweep.json, which lists the points and their states, and of each point's run
 * directory what is there: config.yaml, plan.json, metrics.jsonl, summary.json. A study may be half
 * done, a point may have failed or not begun, a last line may be cut: what is known is reported. */
#pragma once

#include "core/status.h"

#include <stdio.h>

/* Writes into STUDY/report/, each file whole or not at all:
 *   points.csv, points.md      each point with its state and what it reached
 *   summary.csv, summary.md    mean, lowest and highest over the seeds of points that are done
 *   *.svg, *.png               the charts, by gnuplot; charts.gnuplot draws them again
 *   index.html                 all of it in one page, with the configs and the hardware
 * Says on `messages` where the report is, and in one line what is missing, such as charts without
 * gnuplot. Not collective. Errors: STATUS_DATA where the directory is not a study, STATUS_FAILURE
 * where it cannot be written. */
NODISCARD Status report_write(const char *study_directory, FILE *messages);
