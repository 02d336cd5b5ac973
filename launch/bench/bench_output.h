/* What a benchmark writes beside its table: a CSV file and a picture. Both are written once all is
 * measured, so that a benchmark that is cut short leaves nothing half done. */
#pragma once

#include "core/status.h"

#include <stdio.h>

typedef struct BenchOutput {
    const char *csv_path, *plot_path; /* NULL: not wanted */
    FILE *table;                      /* for people, row by row */
    FILE *csv, *plot; /* where the rows, and gnuplot's commands, go: memory; never NULL */
    char *csv_text, *plot_text;
    size_t csv_bytes, plot_bytes;
} BenchOutput;

/* Looks whether the files can be written before anything is measured. Errors: STATUS_USAGE for a
 * picture that is neither .svg nor .png, STATUS_FAILURE for a file that cannot be written. Close it
 * also after a failure. */
NODISCARD Status bench_output_open(const char *csv_path, const char *plot_path, FILE *table,
                                   BenchOutput *out);

/* Writes the files where `status` is OK, and answers the first failure of all. Without gnuplot the
 * picture is left out and `messages` gets one line. */
NODISCARD Status bench_output_close(BenchOutput *output, Status status, FILE *messages);

/* A field of a CSV row: quoted where it must be. */
void csv_put(FILE *file, const char *text);
