/* embedding: x[b, t] = wte[token[b, t]] + wpe[t].
 *
 *   tokens (B, T) i32 in [0, V)   wte (V, C)   wpe (>= T, C)   x (B, T, C)
 *
 * Backward sums the rows of equal tokens in the order of the batch: the same sum in every run. */
#pragma once

#include "core/program.h"

enum { EMBEDDING_RANGE = 32 }; /* sorted rows that one block sums on CUDA */

/* inputs tokens, wte, wpe; outputs x. */
extern const Op embedding_op;

typedef struct EmbeddingAttrs {
    bool accumulate_wte, accumulate_wpe;
} EmbeddingAttrs;

/* inputs dx, tokens; outputs dwte, dwpe. */
extern const Op embedding_backward_op;

/* Records the gradient for a known dx (B, T, C); used where dx is not the lookup's own. */
void embedding_gradient_record(Program *p, Tensor *dx, Tensor *tokens, Tensor *wte, Tensor *wpe);

Tensor *embedding_record(Program *p, Tensor *tokens, Tensor *wte, Tensor *wpe);
