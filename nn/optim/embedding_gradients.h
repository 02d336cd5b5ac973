/* The gradients of the token and position embeddings over several ranks.
 *
 * wte is the lm_head too. That part of its gradient is dense, and complete when backward begins;
 * the part of the lookup is complete when backward ends, and only then could the whole gradient be
 * summed, with nothing left to hide it. But the lookup's part is no more than the rows of dx: so
 * the gradients are summed without it while backward runs, and at the end ranks gather each other's
 * rows and tokens, and each adds all of them, in the order of the ranks. For GPT-2 124M at B=12 in
 * bf16 on two ranks that is 19 MB from the other rank at the end, in place of 79.
 *
 * The sum differs in its last bits from that of whole gradients, so this is for GPUs: CPUs promise
 * the same bits for every number of ranks. */
#pragma once

#include "core/collectives.h"
#include "nn/parameters.h"

typedef struct EmbeddingGradients {
    Node *lookup;          /* its gradient is recorded by embedding_gradients_add */
    Tensor *tokens, *rows; /* of all ranks: (ranks B, T), (ranks B, T, C) */
    Tensor *order;         /* of the tokens; may be NULL */
    const Collectives *ranks;
} EmbeddingGradients;

/* Between the recording of forward and that of backward. True where the rows are no more than half
 * the bytes of the whole gradients; then the lookup's gradient is left out of backward. */
bool embedding_gradients_take(Program *p, const Parameters *parameters, const Collectives *ranks,
                              EmbeddingGradients *out);

/* Once backward is complete: puts a gather of all tokens into it. */
void embedding_gradients_gather_tokens(Program *p, EmbeddingGradients *embeddings);

/* Starts to gather all rows. */
void embedding_gradients_gather_rows(Program *p, EmbeddingGradients *embeddings);

/* Sorts the tokens, once they have arrived and while the rows are on their way. */
void embedding_gradients_order(Program *p, EmbeddingGradients *embeddings);

/* Adds the rows, once they have arrived and the rest of the gradients is summed. */
void embedding_gradients_add(Program *p, const EmbeddingGradients *embeddings);
