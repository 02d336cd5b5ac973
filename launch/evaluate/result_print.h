/* Prints the result of ./evaluate: a line, or an object of JSON. Not collective. */
#pragma once

#include "launch/evaluate/choice_scores.h"
#include "launch/run/evaluation.h"

/* What was evaluated, and how. */
typedef struct EvaluationCase {
    const char *model, *data, *dtype, *device;
    int64_t step;
    double seconds;
    bool as_json;
} EvaluationCase;

/* Errors: STATUS_OUT_OF_MEMORY; STATUS_FAILURE if standard output cannot be written. */
NODISCARD Status evaluation_print(const EvaluationCase *about, const Evaluation *result);
NODISCARD Status choice_scores_print(const EvaluationCase *about, const ChoiceScores *scores);
