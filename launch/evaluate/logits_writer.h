/* Writes the logits of an evaluation to a file (checkpoints/logits_file.h). One rank. */
#pragma once

#include "checkpoints/logits_file.h"
#include "launch/run/experiment.h"

typedef struct LogitsWriter LogitsWriter;

/* Begins a file for the windows of e->val; e keeps its logits and outlives the writer, as does
 * `path`. Errors: those of logits_file_create; STATUS_OUT_OF_MEMORY. */
NODISCARD Status logits_writer_create(Experiment *e, const char *path, const LogitsHeader *header,
                                      LogitsWriter **out);

/* Adds a batch of the evaluation: an EvaluationBatchFn (launch/run/evaluation.h). */
NODISCARD Status logits_writer_add(void *writer, int64_t first, int64_t rows, const int32_t *inputs,
                                   const int32_t *targets);

/* Completes the file if `status` is OK, otherwise removes it. Returns the first failure.
 * NULL-safe. */
NODISCARD Status logits_writer_finish(LogitsWriter **writer, Status status);
