/* Branches of a study for its report: the loss of batches that start from the same weights, after
 * equal tokens, and the critical batch that follows.
 *
 * The difference of a branch is its last validation loss minus that of the smallest batch with the
 * same fork and seed. The critical batch is where the mean difference first exceeds the tolerance,
 * linear in the log of the batch between the two batches. By t-intervals over seeds, `low` is the
 * largest batch up to which all differences are below the tolerance, `high` the smallest batch
 * whose difference is above it; with one seed the differences themselves decide. Source: Merrill et
 * al., arXiv:2505.23971. */
#pragma once

#include "launch/study/report/answer.h"
#include "launch/study/report/tables.h"

typedef struct CriticalBatch {
    int series;
    double fork_tokens;    /* of the position at which the branches start */
    double tolerance;      /* nats */
    double batch;          /* tokens per step; NaN: no difference exceeds the tolerance */
    double low, high;      /* bounds; NaN: none */
    double smallest, most; /* batches that were compared */
    int seeds;
    double noise; /* the gradient noise scale there, tokens; NaN: not measured */
} CriticalBatch;

typedef struct Branches {
    const Mark *marks; /* of the differences, x in tokens per step */
    size_t n_marks;
    CriticalBatch *items; /* one for each series with differences */
    size_t count;
} Branches;

/* Sets the difference of each branch, and the critical batches. Requires results_arrange. Errors:
 * STATUS_OUT_OF_MEMORY, STATUS_FAILURE if the machine cannot read a file. */
NODISCARD Status branches_read(Results *results, Branches *out);

/* The critical batches replace the comparisons of a study of branches, whose points have different
 * budgets. Changes nothing without them. */
void answer_branches(Results *results, const Branches *branches, Answer *answer);

/* The critical batches, and the difference of each batch. */
NODISCARD Status table_critical(Results *results, const Branches *branches, bool raw,
                                ReportTable *out);
NODISCARD Status table_differences(Results *results, const Branches *branches, bool raw,
                                   ReportTable *out);
