/* Tables and sentences of a report about its tunings. */
#pragma once

#include "launch/study/report/answer.h"
#include "launch/study/report/tables.h"
#include "launch/study/report/tuned.h"

/* A row for each tuning: its best value, the optimum with its interval, candidates, the budgets
 * that they took in units of a point's. */
NODISCARD Status table_tunings(Results *results, const Tunings *tunings, bool raw,
                               ReportTable *out);

/* A row for each candidate: its results at the rungs, and why it ended. */
NODISCARD Status table_candidates(Results *results, const Tunings *tunings, bool raw,
                                  ReportTable *out);

/* Adds sentences about edges, and about the exponent of the batch for learning rates. */
void answer_tunings(Results *results, const Tunings *tunings, Answer *answer);
