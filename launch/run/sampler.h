/* Text that a run generates at its evaluations (evaluation.sample). Rank 0; not collective. */
#pragma once

#include "launch/run/experiment.h"

typedef struct Sampler Sampler;

/* Uses e->recorded.decoder, and the tokenizer of the validation data. Without a known tokenizer
 * there are no samples: see sampler_note. Errors: STATUS_OUT_OF_MEMORY. */
NODISCARD Status sampler_create(const Experiment *e, Sampler **out);
void sampler_destroy(Sampler **sampler);

/* The reason why there are no samples; NULL: there are. */
const char *sampler_note(const Sampler *sampler);

/* Generates evaluation.sample tokens, fewer if the text ends, after a newline, as ./generate does
 * by default with the run's seed. Requires gathered weights (training_gather_weights); changes none
 * of the tensors of a step. *text, for free(): UTF-8, with '?' for other bytes; NULL if a signal
 * came meanwhile. Errors: STATUS_FAILURE if logits are not finite; STATUS_OUT_OF_MEMORY. */
NODISCARD Status sampler_run(Sampler *sampler, char **text);
