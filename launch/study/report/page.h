/* The page of the report: one file, without scripts or network access. */
#pragma once

#include "launch/study/report/answer.h"
#include "launch/study/report/chart.h"
#include "launch/study/report/tuning_table.h"

typedef struct PageParts {
    const Answer *answer; /* this and the next two are NULL for runs of no study */
    const Tunings *tunings;
    const Branches *branches;
    const Charts *charts;
    const char *missing; /* why there are no charts; "" */
    int reload_s;        /* a browser reloads the page after so many seconds; 0: never */
} PageParts;

/* Writes the page to `file`, with the charts in `directory`. */
NODISCARD Status page_put(Results *results, const PageParts *parts, const char *directory,
                          FILE *file);

/* Writes `directory`/index.html with the charts in that directory. */
NODISCARD Status page_write(Results *results, const PageParts *parts, const char *directory);
