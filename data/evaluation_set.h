/* EvaluationSet: the targets that an evaluation scores, chosen by the file, a count of tokens and T
 * alone: neither the ranks nor the batch, the seed or the step matter.
 *
 * A file of n tokens has n - 1 targets, tokens 1 .. n - 1. They are cut into windows of T without
 * overlap; the last one may be shorter, and a file of fewer than T targets is one short window.
 * Each target has the tokens of its own window before it as its context. An evaluation over N
 * tokens takes ceil(N / T) of the whole windows by a fixed permutation, so that a part stands for
 * the file; where there are not as many it takes all, the short one too, in the file's order. */
#pragma once

#include "core/status.h"
#include "data/token_file.h"

enum { EVALUATION_ALL = 0 }; /* for a count of tokens */

typedef struct EvaluationSet {
    const TokenFile *file; /* borrowed */
    int64_t T;
    int64_t count;   /* windows in the set */
    int64_t targets; /* in all of them */
    int64_t among;   /* whole windows that they are chosen of; 0: the set is the file */
} EvaluationSet;

typedef struct EvaluationWindow {
    int64_t start;  /* of the inputs; the targets are one token later */
    int64_t length; /* inputs, and targets */
} EvaluationWindow;

/* The set of `tokens` targets of a file; of all where that is EVALUATION_ALL or more than there
 * are. Errors: STATUS_DATA where the file holds no target. Not collective. */
NODISCARD Status evaluation_set_init(const TokenFile *file, int64_t T, int64_t tokens,
                                     EvaluationSet *out);

/* Window i of the set, 0 <= i < count. Not collective. */
EvaluationWindow evaluation_set_window(const EvaluationSet *set, int64_t i);

/* Reads windows first .. first + B - 1. inputs, targets  out (B, T) int32. What is beyond a
 * window's length, or beyond the set, holds token 0. Errors: STATUS_DATA for a token outside the
 * vocabulary. Not collective. */
NODISCARD Status evaluation_set_fill(const EvaluationSet *set, int64_t first, int64_t B,
                                     int32_t *inputs, int32_t *targets);
