/* rungs.log of a candidate: its result at the end of each rung, "rung SHARE LOSS STEP TRAIN_S
 * METRIC REDUCE". It outlives the run's metrics, which a start without checkpoints writes again. */
#pragma once

#include "launch/study/point.h"

/* Sets the loss of each share; NaN if it is not recorded by this metric. Lines of older versions
 * name none, and count. */
NODISCARD Status tuning_log_read(const StudyPoint *point, const ConfigReport *report,
                                 const double *shares, int count, double *losses);

/* The report's metric of a candidate that has reached a share of its budget; lower is better.
 * INFINITY if it has none. -INFINITY, which no rung ranks or ends, if it has gone on beyond the
 * share and did not stop there. Errors: those of metric_read. */
NODISCARD Status tuning_result(const StudyPoint *point, const ConfigReport *report, double share,
                               double *out);

NODISCARD Status tuning_log_add(const StudyPoint *point, const ConfigReport *report, double share,
                                double loss);
