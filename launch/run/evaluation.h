/* Evaluation: the loss of the current weights over a set of tokens (data/evaluation_set.h), for
 * training and ./evaluate.
 *
 * The losses of each window are summed in f64, in the order of its tokens, on whichever rank and
 * in whichever batch; the sums of the windows are added as one tree. So ranks and batches change
 * the loss by no more than the rounding of the forward pass. */
#pragma once

#include "launch/run/experiment.h"

typedef struct Evaluation {
    double loss;      /* nats a token */
    double std_error; /* of that mean, from the variance between windows; NaN for one window */
    double bpb;       /* bits per byte of text; NaN: unknown tokenizer */
    int64_t tokens;   /* targets in the set */
} Evaluation;

typedef struct Evaluator Evaluator;

/* Evaluates e->val with the weights and programs of e, which it borrows. Not collective. Errors:
 * STATUS_OUT_OF_MEMORY. */
NODISCARD Status evaluator_create(Experiment *e, Evaluator **out);
void evaluator_destroy(Evaluator **evaluator);

/* Sees windows first .. first + rows - 1 of e->val after each batch: its inputs and targets (B, T)
 * on the host; e->recorded.step has its results. */
typedef Status (*EvaluationBatchFn)(void *context, int64_t first, int64_t rows,
                                    const int32_t *inputs, const int32_t *targets);

/* Shows each batch of this rank to `fn`; its failure ends the evaluation. Not collective. */
void evaluator_observe(Evaluator *evaluator, EvaluationBatchFn fn, void *context);

/* The reason why bits per byte are unknown; NULL: they are known. */
const char *evaluator_note(const Evaluator *evaluator);

/* Evaluates, overwriting the tensors of the step. One loss that is not finite makes the mean not
 * finite. Collective; a failure before the sum over ranks concerns only this rank. Errors:
 * STATUS_STOPPED if a signal stops the only rank (launch/base/signals.h), without a result. */
NODISCARD Status evaluator_run(Evaluator *evaluator, Evaluation *out);

/* " +- 0.0041 | 2.385 bits/byte", without unknown values. */
void evaluation_details(const Evaluation *evaluation, char *text, size_t bytes);
