/* The files of a benchmark: a CSV file and a chart. Both are written after all measurements, so an
 * interrupted benchmark leaves no partial file. */
#pragma once

#include "core/status.h"

#include <stdio.h>

typedef struct BenchOutput {
    const char *csv_path, *plot_path; /* NULL: not wanted */
    FILE *table;                      /* for people, row by row */
    FILE *csv, *plot;                 /* the rows, and gnuplot's commands, in memory; never NULL */
    char *csv_text, *plot_text;
    size_t csv_bytes, plot_bytes;
} BenchOutput;

/* Checks before any measurement that the files can be written. Errors: STATUS_USAGE for a chart
 * that is neither .svg nor .png, STATUS_DATA for an old file of another kind, STATUS_FAILURE for
 * one that cannot be written. Close it after a failure, too. */
NODISCARD Status bench_output_open(const char *csv_path, const char *plot_path, FILE *table,
                                   BenchOutput *out);

/* Writes the files if `status` is OK; returns the first failure. Without gnuplot it skips the chart
 * and prints one line to `messages`. */
NODISCARD Status bench_output_close(BenchOutput *output, Status status, FILE *messages);

/* Writes a field of a CSV row, quoted if necessary. */
void csv_put(FILE *file, const char *text);
