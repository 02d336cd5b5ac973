/* The table of a study's points: state, step, losses, tokens per second, time left. */
#pragma once

#include "launch/study/study.h"

#include <stdio.h>

/* Prints the whole table, a line per point, and a summary line. */
void table_print(const Study *study, FILE *file);

/* `2 of 6 points done, 1 running, 3 waiting` */
void table_sum(const Study *study, char *text, size_t bytes);

/* The table on a terminal, redrawn in place: running points first, as many as fit. */
typedef struct LiveTable {
    bool watched; /* standard output is a terminal, and NO_COLOR is not set */
    int lines;    /* lines drawn last */
    double drawn; /* clock_seconds */
} LiveTable;

void table_live_open(LiveTable *table);
void table_live_draw(LiveTable *table, const Study *study);

/* Erases the table, so that permanent lines can follow. */
void table_live_clear(LiveTable *table);
