/* Remarks on finished points whose result needs care: a disturbed machine, too few steps, a loss
 * that is not finite. */
#pragma once

#include "launch/study/report/results.h"

/* Sets the remark of each point:
 *   loss not finite the metric, as reduced, or the last validation loss
 *   few steps       fewer than FEW_STEPS optimizer steps
 *   slow, fast      its tokens/s differ by more than 15% from the median of the points of the same
 *                   series and x, of which there are others
 *   slow            without others: a rate below 70% of the predicted one, or below 70% of that of
 *                   a smaller batch of its series
 * Requires results_arrange. Errors: STATUS_OUT_OF_MEMORY. */
enum { FEW_STEPS = 100 };
NODISCARD Status remarks_find(Results *results);

/* The number of points with a remark. */
size_t remarks_count(const Results *results);
