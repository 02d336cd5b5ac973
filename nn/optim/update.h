/* The end of a step as ops: reductions of gradients over ranks that overlap with backward, the
 * norm, and the update of each parameter group by its optimizer.
 *
 * The reduction of a bucket starts as soon as its last gradient is complete. While the last buckets
 * are reduced, or the embeddings' rows are in transit (nn/optim/embedding_gradients.h), the norm of
 * the other buckets is computed.
 *
 * With a sharded optimizer each rank receives the sums of its own shards and updates their weights.
 * The weights that forward reads first are updated first; all ranks gather them while the others
 * are updated. The next reader gathers the others (nn/optim/weight_prefetch.h). Squares are summed
 * over the same parts of the same buckets, whichever rank owns them, and added in one order, so
 * sharding changes no bit. */
#pragma once

#include "core/collectives.h"
#include "nn/optim/embedding_gradients.h"

typedef struct Update {
    const Parameters *parameters;
    const Collectives *collectives; /* NULL: one rank */
    double clip;                    /* limit of the gradient's norm; 0: none */
    Tensor *step, *loss, *norm;
    Tensor *unit_norm; /* of several ranks' own gradients, before the reductions, for the noise
                          scale (nn/optim/noise_record.h); NULL: not measured */
    Tensor *first_nonfinite;        /* see core/ops/adamw.h */
    EmbeddingGradients *embeddings; /* gradients that travel as rows; NULL: all are reduced whole */
} Update;

/* Appends the update to a program whose backward is complete. */
void update_record(Program *p, const Update *update);
