/* EvaluationSet: the targets that an evaluation scores. The file, the number of tokens and T
 * determine them; ranks, batch, seed and step do not.
 *
 * A file of n tokens has n - 1 targets, tokens 1 .. n - 1. They are cut into windows of T without
 * overlap; the last one may be shorter, and a file of fewer than T targets is one short window. The
 * context of a target is the preceding tokens of its window. An evaluation over N tokens takes
 * ceil(N / T) of the whole windows by a fixed permutation, so that a part represents the file. If
 * the file has fewer windows, it takes all of them, including the short one, in file order. */
#pragma once

#include "core/status.h"
#include "data/token_set.h"

enum { EVALUATION_ALL = 0 }; /* as the number of tokens */

typedef struct EvaluationSet {
    const TokenSet *tokens; /* borrowed */
    int64_t T;
    int64_t count;   /* windows in the set */
    int64_t targets; /* targets in all windows */
    int64_t among;   /* number of whole windows to choose from; 0: the set is the whole file */
    int64_t stride;  /* from one window to the next; T: they do not overlap */
} EvaluationSet;

typedef struct EvaluationWindow {
    int64_t start;   /* first input token; targets are one token later */
    int64_t length;  /* number of inputs, and of targets */
    int64_t skipped; /* targets at its start that only are context, because the window before scores
                        them */
} EvaluationWindow;

/* Selects `tokens` targets of a file; all of them for EVALUATION_ALL or more than the file has.
 * Errors: STATUS_DATA if the file has no target. Not collective. */
NODISCARD Status evaluation_set_init(const TokenSet *from, int64_t T, int64_t tokens,
                                     EvaluationSet *out);

/* Lets windows overlap: each begins `stride` tokens after the one before it and scores the targets
 * that are new, so all but those of the first window have at least T - stride tokens of context.
 * The set is then the whole file. 1 <= stride <= T. Not collective. */
void evaluation_set_slide(EvaluationSet *set, int64_t stride);

/* Window i of the set, 0 <= i < count. Not collective. */
EvaluationWindow evaluation_set_window(const EvaluationSet *set, int64_t i);

/* Reads windows first .. first + B - 1. inputs, targets  out (B, T) int32. Positions beyond the end
 * of a window or of the set hold token 0. Errors: STATUS_DATA for a token outside the vocabulary.
 * Not collective. */
NODISCARD Status evaluation_set_fill(const EvaluationSet *set, int64_t first, int64_t B,
                                     int32_t *inputs, int32_t *targets);
