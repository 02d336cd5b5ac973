/* Generator: a model loaded from a run, which predicts the next token. One rank; nothing is
 * collective. */
#pragma once

#include "data/tokenizer.h"
#include "launch/run/experiment.h"

typedef struct Generator Generator;

/* Loads the newest good checkpoint of a run directory, or the checkpoint file `path`, and the
 * tokenizer of its data. Errors: STATUS_DATA naming the missing part. */
NODISCARD Status generator_create(const char *path, Generator **out);
void generator_destroy(Generator **generator);

Tokenizer *generator_tokenizer(const Generator *generator);
int64_t generator_vocab_size(const Generator *generator);

/* logits (V) f32 of the token after `context`, of which only the last block_size tokens are used. n
 * >= 1. */
NODISCARD Status generator_logits(Generator *generator, const int32_t *context, int64_t n,
                                  float *logits);

typedef struct Sampling {
    double temperature; /* 0: always the most likely token */
    int64_t top_k;      /* 0: all */
    uint64_t seed;
} Sampling;

/* Draws a token from softmax(logits / temperature) over the top_k most likely tokens; a function of
 * (seed, index). Overwrites the logits. Errors: STATUS_FAILURE if a logit is NaN or the greatest is
 * infinite, STATUS_NO_ROOM. */
NODISCARD Status sampling_draw(const Sampling *sampling, uint64_t index, float *logits, int64_t V,
                               int32_t *token);
