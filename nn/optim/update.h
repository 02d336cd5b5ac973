/* The end of a step, as ops: gradients summed over ranks while backward goes on, their norm, and
 * the update of each parameter group by its optimizer.
 *
 * Each bucket of the parameters is reduced as soon as the last of its gradients is complete. The
 * norm of all buckets but those that are complete last is computed while these are still reduced,
 * or the embeddings' rows are on their way (nn/optim/embedding_gradients.h).
 *
 * Where the optimizer is sharded, a rank receives the sums of its shards alone and updates their
 * weights: first those that forward reads first, which all ranks then gather while the rest is
 * updated. The next reader gathers the rest (nn/optim/weight_prefetch.h). The squares are summed
 * over the same parts of the same buckets, whichever rank owns them, and added in one order:
 * sharding changes no bit. */
#pragma once

#include "core/collectives.h"
#include "nn/optim/embedding_gradients.h"

typedef struct Update {
    const Parameters *parameters;
    const Collectives *collectives; /* NULL: one rank */
    double clip;                    /* of the gradient's norm; 0: none */
    Tensor *step, *loss, *norm;
    Tensor *first_nonfinite;        /* see core/ops/adamw.h */
    EmbeddingGradients *embeddings; /* as rows; NULL: whole, like all others */
} Update;

/* Appends it to a program whose backward is complete. */
void update_record(Program *p, const Update *update);
