/* The gradients of the token and position embeddings over several ranks.
 *
 * wte is also the lm_head. The lm_head's part of its gradient is dense and complete when backward
 * begins. The lookup's part is complete only when backward ends, so a reduction of the whole
 * gradient could not overlap with anything. But the lookup's part consists of the rows of dx. So
 * backward overlaps with a reduction of the gradients without the lookup; at the end the ranks
 * gather all rows and tokens, and each rank adds them in the order of the ranks. For GPT-2 124M at
 * B=12 in bf16 on two ranks each rank receives 19 MB at the end instead of 79.
 *
 * The last bits of the sum differ from those of a reduction of whole gradients. Only GPUs use this,
 * because CPUs guarantee the same bits for every number of ranks. */
#pragma once

#include "core/collectives.h"
#include "nn/parameters.h"

typedef struct EmbeddingGradients {
    Node *lookup;          /* its gradient is recorded by embedding_gradients_add */
    Tensor *tokens, *rows; /* of all ranks: (ranks B, T), (ranks B, T, C) */
    Tensor *order;         /* of the tokens; may be NULL */
    const Collectives *ranks;
} EmbeddingGradients;

/* Call it after forward is recorded and before backward is. True if the rows are at most half the
 * bytes of the whole gradients; backward then omits the lookup's gradient. */
bool embedding_gradients_take(Program *p, const Parameters *parameters, const Collectives *ranks,
                              EmbeddingGradients *out);

/* Once backward is recorded: inserts an all-gather of the tokens. */
void embedding_gradients_gather_tokens(Program *p, EmbeddingGradients *embeddings);

/* Starts the all-gather of the rows. */
void embedding_gradients_gather_rows(Program *p, EmbeddingGradients *embeddings);

/* Sorts the tokens after they have arrived, while the rows are in transit. */
void embedding_gradients_order(Program *p, EmbeddingGradients *embeddings);

/* Adds the rows after they have arrived and the reductions of the other gradients are complete. */
void embedding_gradients_add(Program *p, const EmbeddingGradients *embeddings);
