/* The page of the report: one file, without scripts or network access. */
#pragma once

#include "launch/study/report/answer.h"
#include "launch/study/report/chart.h"
#include "launch/study/report/tuning_table.h"

typedef struct PageParts {
    const Answer *answer;
    const Tunings *tunings;
    const Charts *charts;
    const char *missing; /* why there are no charts; "" */
} PageParts;

/* Writes `directory`/index.html with the charts in that directory. */
NODISCARD Status page_write(Results *results, const PageParts *parts, const char *directory);
