/* The number by which a study compares its runs: report.metric, reduced by report.reduce. */
#pragma once

#include "launch/config/config.h"
#include "launch/run/run_files.h"

#include <stdbool.h>

/* Whether higher is better. */
bool metric_is_rate(const char *metric);

/* Whether a run at the share `at` of its budget has gone on beyond the stage that ended at `share`:
 * a stage has ten steps at least, and ends up to one step after its share. */
static inline bool metric_is_beyond(double at, double share) { return at > share * 1.15; }

/* `best`, `last` or `mean` over the records' metric; NaN without values. */
double metric_reduced(const RunRecord *records, size_t count, const char *metric,
                      const char *reduce);

/* The same of a run directory, of its records up to a share of its budget, the last of them with a
 * value near that share; 1: of all. NaN if it is unknown. Errors: STATUS_FAILURE if the machine
 * cannot read it. */
NODISCARD Status metric_read(const char *directory, const char *metric, const char *reduce,
                             const ConfigStop *budget, double share, double *out);
