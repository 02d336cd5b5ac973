/* The table of a study's points: state, step, losses, tokens a second, time left. */
#pragma once

#include "launch/study/study.h"

#include <stdio.h>

/* All of it, a line a point, and a line that sums up. */
void table_print(const Study *study, FILE *file);

/* `2 of 6 points done, 1 running, 3 waiting` */
void table_sum(const Study *study, char *text, size_t bytes);

/* The table in place on a terminal: those that run first, as many as there are lines for. */
typedef struct LiveTable {
    bool watched; /* the standard output is a terminal, and NO_COLOR is not set */
    int lines;    /* drawn last */
    double drawn; /* clock_seconds */
} LiveTable;

void table_live_open(LiveTable *table);
void table_live_draw(LiveTable *table, const Study *study);

/* Takes the table away, for lines that stay. */
void table_live_clear(LiveTable *table);
