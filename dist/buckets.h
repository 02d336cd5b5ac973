/* Buckets: which gradients are reduced together, and when. A pure function; not collective.
 *
 * A reduction may start once the last of its gradients is complete, and runs while backward goes on. Few large ones use
 * the network best, but the first should start early and the last should be short after backward's end; so the first
 * bucket is small (1 MiB) and the others are 25 MiB. Source: Li et al. 2020, arXiv:2006.15704, sections 3.2.3 and 4.2.
 */
#pragma once

#include "core/status.h"

#include <stddef.h>
#include <stdint.h>

/* Where a gradient lies, in bytes from the start of the arena of gradients. */
typedef struct GradientRange {
    size_t offset, bytes;
} GradientRange;

typedef struct BucketSizes {
    size_t first, other; /* a bucket is closed once it holds this many bytes; a gradient is never split */
    size_t bridge;       /* padding of up to this many bytes between neighbors is reduced along with them */
} BucketSizes;

/* 1 MiB, 25 MiB, and 256 bytes, the alignment of tensors. */
BucketSizes bucket_sizes_default(void);

/* One contiguous reduction. A bucket whose gradients are not neighbors needs several. */
typedef struct BucketRange {
    size_t offset, bytes;
    int64_t bucket; /* from 0, in the order in which they may start */
    int64_t after;  /* index of the gradient after whose completion it may start */
} BucketRange;

/* Cuts n gradients, given in the order in which backward completes them, into buckets.
 *   out   (n) at most, ordered by bucket, then by offset      n_out   how many
 * Errors: STATUS_FAILURE where gradients overlap, or memory is out. */
NODISCARD Status buckets_cut(const GradientRange *gradients, int64_t n, BucketSizes sizes, BucketRange *out,
                             int64_t *n_out);
