/* The page of the report: one file, without scripts or network access. */
#pragma once

#include "launch/study/report/answer.h"
#include "launch/study/report/chart.h"
#include "launch/study/report/tables.h"

/* Writes `directory`/index.html with the charts in that directory; shows `missing` if there are
 * none. */
NODISCARD Status page_write(Results *results, const Answer *answer, const Charts *charts,
                            const char *directory, const char *missing);
