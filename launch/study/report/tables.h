/* The tables of a report: CSV for programs, Markdown and HTML for people. */
#pragma once

#include "launch/study/report/results.h"

#include <stdio.h>

typedef enum CellKind { CELL_TEXT, CELL_NUMBER, CELL_STATE, CELL_MESSAGE, CELL_REMARK } CellKind;

typedef struct ReportTable {
    int columns;
    size_t rows;
    const char **heads;
    CellKind *kinds;
    const char **cells; /* (rows, columns) */
} ReportTable;

/* Each point; and each series at each x over its seeds. `raw`: all columns, unrounded, in plain
 * units, for programs; otherwise rounded, with units, and without empty columns. The table belongs
 * to the study. */
NODISCARD Status table_points(Results *results, bool raw, ReportTable *out);
NODISCARD Status table_summary(Results *results, bool raw, ReportTable *out);

/* Allocates the heads, kinds and cells of a table, and removes its empty columns. */
NODISCARD Status table_alloc(Results *results, int columns, size_t rows, ReportTable *out);
void table_pack(ReportTable *table);

/* Sets the heads, and the kinds: `texts` columns of text, then numbers. */
void table_heads(ReportTable *table, const char *const *heads, int texts);

void table_csv(FILE *file, const ReportTable *table);
void table_markdown(FILE *file, const ReportTable *table);

/* `label` names the table for screen readers; the keyboard can scroll it. */
void table_html(FILE *file, const ReportTable *table, const char *label);
