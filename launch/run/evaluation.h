/* Evaluation: the loss of the weights as they are over a set of tokens (data/evaluation_set.h):
 * training's and ./evaluate's.
 *
 * Each window of the set is summed by itself, in f64 and in the order of its tokens, whichever rank
 * and batch it falls to; the windows' sums are added as one tree over the set. So the number of
 * ranks and the batch change the loss by no more than the rounding of the forward pass. */
#pragma once

#include "launch/run/experiment.h"

typedef struct Evaluation {
    double loss;      /* nats a token */
    double std_error; /* of that mean, from how much windows differ; NaN for a set of one window */
    double bpb;       /* bits a byte of text; NaN where the tokenizer is not known */
    int64_t tokens;   /* targets in the set */
} Evaluation;

typedef struct Evaluator Evaluator;

/* For e->val, and the weights and programs of e, which it borrows. Not collective. Errors:
 * STATUS_NO_ROOM. */
NODISCARD Status evaluator_create(Experiment *e, Evaluator **out);
void evaluator_destroy(Evaluator **evaluator);

/* Why there are no bits a byte; NULL where there are. */
const char *evaluator_note(const Evaluator *evaluator);

/* Evaluates. The step's tensors are overwritten. A loss that is not finite makes the mean so.
 * Collective, but for a failure before the sum over ranks, which is this rank's alone. Errors:
 * STATUS_STOPPED where a signal asks the only rank to stop (launch/base/signals.h); nothing is
 * evaluated then. */
NODISCARD Status evaluator_run(Evaluator *evaluator, Evaluation *out);

/* " +- 0.0041 | 2.385 bits/byte", as far as these are known. */
void evaluation_details(const Evaluation *evaluation, char *text, size_t bytes);
