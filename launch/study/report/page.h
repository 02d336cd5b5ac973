/* The report's page: everything in one file, without scripts and without the network. */
#pragma once

#include "launch/study/report/chart.h"
#include "launch/study/report/tables.h"

/* Writes `directory`/index.html with the charts that lie there; `missing` is shown where there are
 * none. */
NODISCARD Status page_write(Results *results, const Charts *charts, const char *directory,
                            const char *missing);
