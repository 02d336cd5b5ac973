/* embedding: x[b, t] = wte[token[b, t]] + wpe[t]. A token outside [0, V) makes its row NaN, and
 * adds nothing to the gradient of wte.
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

/* inputs dx, tokens, order|NULL; outputs dwte, dwpe. */
extern const Op embedding_backward_op;

/* The tokens sorted, with the place of each in the batch, as CUDA's backward takes them: a caller
 * may sort while dx is not there yet. V: rows of wte. NULL where the device has no kernel for it.
 */
Tensor *embedding_order_record(Program *p, Tensor *tokens, int64_t V);

/* Records the gradient for a known dx (B, T, C), which may not be the lookup's own. `order` is of
 * embedding_order_record, or NULL. */
void embedding_gradient_record(Program *p, Tensor *dx, Tensor *tokens, Tensor *order, Tensor *wte,
                               Tensor *wpe);

Tensor *embedding_record(Program *p, Tensor *tokens, Tensor *wte, Tensor *wpe);
