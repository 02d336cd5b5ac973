/* The report of a study: its tables, its charts, and one page with all of them.
 *
 * It reads STUDY/sweep.json, which lists the points and their states, and config.yaml, plan.json,
 * metrics.jsonl and summary.json of each point's run directory. A study may be unfinished, a point
 * may have failed or not started, a last line may be incomplete: all known data is reported. */
#pragma once

#include "core/status.h"

#include <stdio.h>

/* Writes to STUDY/report/, each file atomically:
 *   points.csv, points.md      each point with its state and its results
 *   answer.txt                 the answer in sentences
 *   summary.csv, summary.md    mean, interval and range over the seeds of finished points
 *   critical.csv, branches.csv of branches: the critical batches, the differences of the loss
 *   *.svg, *.png               the charts, by gnuplot; charts.gnuplot draws them again
 *   index.html                 all of it in one page, with the configs and the hardware
 * Prints to `messages` the path of the report, the answer, and one line on anything missing, such
 * as charts without gnuplot. Not collective. Errors: STATUS_DATA if the directory is not a study,
 * STATUS_FAILURE if it cannot be written. */
NODISCARD Status report_write(const char *study_directory, FILE *messages);
