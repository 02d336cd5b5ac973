/* embedding: x[b, t] = wte[token[b, t]] + wpe[t]. A token outside [0, V) makes its row NaN and
 * contributes nothing to the gradient of wte.
 *
 *   tokens (B, T) i32 in [0, V)   wte (V, C)   wpe (>= T, C), or NULL: 0   x (B, T, C)
 *
 * Backward sums the rows of equal tokens in batch order: the same sum in every run. If a program
 * looks up the same tokens several times, their gradients share one sorted order. */
#pragma once

#include "core/program.h"

enum { EMBEDDING_RANGE = 32 }; /* sorted rows summed by one block on CUDA */

/* inputs tokens, wte, wpe|NULL; outputs x. */
extern const Op embedding_op;

typedef struct EmbeddingAttrs {
    bool accumulate_wte, accumulate_wpe;
} EmbeddingAttrs;

/* inputs dx, tokens, order|NULL; outputs dwte, dwpe|NULL. */
extern const Op embedding_backward_op;

/* The sorted tokens with their positions in the batch, an input of CUDA's backward: for callers
 * that can sort before dx is ready. V: rows of wte. NULL if the device has no kernel for it. */
Tensor *embedding_order_record(Program *p, Tensor *tokens, int64_t V);

/* Records the gradient for a given dx (B, T, C), which may differ from the gradient of the lookup's
 * output. `order` comes from embedding_order_record, or is NULL, as may be wpe. */
void embedding_gradient_record(Program *p, Tensor *dx, Tensor *tokens, Tensor *order, Tensor *wte,
                               Tensor *wpe);

Tensor *embedding_record(Program *p, Tensor *tokens, Tensor *wte, Tensor *wpe);
