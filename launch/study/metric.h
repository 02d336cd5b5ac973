/* The number by which a study compares its runs: report.metric, reduced by report.reduce. */
#pragma once

#include "launch/run/run_files.h"

#include <stdbool.h>

/* Whether higher is better. */
bool metric_is_rate(const char *metric);

/* `best`, `last` or `mean` over the records' metric; NaN without values. */
double metric_reduced(const RunRecord *records, size_t count, const char *metric,
                      const char *reduce);

/* The same of a run directory. NaN if it is unknown. Errors: STATUS_FAILURE if the machine cannot
 * read it. */
NODISCARD Status metric_read(const char *directory, const char *metric, const char *reduce,
                             double *out);
