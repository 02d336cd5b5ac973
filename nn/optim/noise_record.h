/* Ops that measure the norms of nn/optim/noise_scale.h, in programs that run every few steps.
 *
 * The norms of micro-batches and of ranks are those of all gradients but the embeddings', which may
 * travel between ranks as rows and are never whole then. The norms of single sequences are those of
 * the norm layers' weights, whose backward has what they need at hand (Gray et al.,
 * arXiv:2411.00999: the noise scales agree). */
#pragma once

#include "core/collectives.h"
#include "nn/parameters.h"

/* Bytes of the squares of all buckets. */
size_t noise_squares_bytes(const Parameters *parameters);

/* Records the squares of a bucket's gradient into its place in `squares`; zeros for a bucket of
 * embeddings. `is_own`: only of this rank's shard. */
void noise_squares_record(Program *p, const Parameters *parameters, int bucket, bool is_own,
                          Tensor *squares);

/* Records out = sqrt(sum over ranks of squares); NULL, or one rank: no sum over ranks. */
void noise_norm_record(Program *p, const Collectives *ranks, Tensor *squares, Tensor *out);

/* The norm of the gradients as they are: each rank's own sums of micro-batches, together over the
 * ranks. */
void noise_unit_record(Program *p, const Parameters *parameters, const Collectives *ranks,
                       Tensor *out);

/* The norm of the gradient of the step, after the reductions. */
void noise_whole_record(Program *p, const Parameters *parameters, const Collectives *ranks,
                        Tensor *out);

/* Inserts into a complete program of one micro-batch of `sequences` sequences: the norm of their
 * contributions together, and of their sum, both of the norm layers' weights. */
void noise_sequences_insert(Program *p, int64_t sequences, Tensor *unit_norm, Tensor *norm);
