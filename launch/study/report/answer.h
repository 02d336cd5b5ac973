/* The answer of a study in sentences: each claims no more than its interval allows.
 *
 * All intervals are t-intervals at CONFIDENCE (launch/study/statistics.h); differences are paired
 * over the seeds that both sides have. */
#pragma once

#include "launch/study/report/results.h"

typedef struct Answer {
    const char *first; /* the answer, one sentence */
    const char **more; /* further comparisons, then what limits them */
    size_t count, comparisons;
    size_t most; /* sentences in `more`: some comparisons, and whatever limits them */
} Answer;

/* Adds a sentence to `more`. */
void answer_say(Answer *answer, const char *sentence);
void answer_drop_comparisons(Answer *answer);

/* Requires remarks_find. The texts belong to the study. Errors: STATUS_OUT_OF_MEMORY. */
NODISCARD Status answer_find(Results *results, Answer *out);
