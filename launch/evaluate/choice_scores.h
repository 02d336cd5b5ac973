/* The accuracy of a model on multiple-choice questions. The loss of a choice is the sum over its
 * tokens, given the context; the model answers with the choice of the least loss, or of the least
 * loss per token (as llm.c's acc_norm does). */
#pragma once

#include "data/choice_set.h"
#include "launch/run/experiment.h"

typedef struct ChoiceScores {
    int64_t questions;
    /* NaN if any loss is not finite; the errors also for one question: sqrt(p (1 - p) / (n - 1)) */
    double accuracy, std_error;
    double normalized, normalized_error; /* by the loss per token */
    double loss;                         /* of the right choices, nats per token */
} ChoiceScores;

/* choice_scores_find: scores all questions with the weights and the evaluation program of e.
 * Collective: ranks share the choices. Errors: STATUS_OUT_OF_MEMORY. */
NODISCARD Status choice_scores_find(Experiment *e, const ChoiceSet *set, ChoiceScores *out);
