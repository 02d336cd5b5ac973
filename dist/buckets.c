#include "dist/buckets.h"

#include <stdbool.h>
#include <stdlib.h>

/* A gradient with its place in memory and its bucket. */
typedef struct Placed {
    GradientRange range;
    int64_t bucket, after, position; /* position: its place in the order of offsets */
} Placed;

BucketSizes bucket_sizes_default(void) { return (BucketSizes){(size_t)1 << 20, (size_t)25 << 20, 256}; }

static int by_offset(const void *a, const void *b) {
    const Placed *x = a, *y = b;
    return (x->range.offset > y->range.offset) - (x->range.offset < y->range.offset);
}

static int by_bucket(const void *a, const void *b) {
    const Placed *x = a, *y = b;
    if (x->bucket != y->bucket) return x->bucket < y->bucket ? -1 : 1;
    return by_offset(a, b);
}

/* Fills buckets in the order of completion; each knows the last of its gradients. */
static void assign(Placed *placed, const GradientRange *gradients, int64_t n, BucketSizes sizes) {
    size_t held = 0;
    int64_t bucket = 0, first = 0;
    for (int64_t i = 0; i < n; i++) {
        placed[i] = (Placed){.range = gradients[i], .bucket = bucket};
        held += gradients[i].bytes;
        if (held < (bucket == 0 ? sizes.first : sizes.other) && i + 1 < n) continue;
        for (; first <= i; first++) placed[first].after = i;
        bucket++;
        held = 0;
    }
}

static Status positions(Placed *placed, int64_t n) {
    qsort(placed, (size_t)n, sizeof *placed, by_offset);
    for (int64_t i = 0; i < n; i++) {
        placed[i].position = i;
        if (i > 0 && placed[i].range.offset - placed[i - 1].range.offset < placed[i - 1].range.bytes) {
            return ERROR(STATUS_FAILURE, "the gradients at bytes %zu and %zu overlap", placed[i - 1].range.offset,
                         placed[i].range.offset);
        }
    }
    return OK;
}

/* True where b follows a in memory with nothing but padding between. */
static bool are_neighbors(const Placed *a, const Placed *b, size_t bridge) {
    return a->bucket == b->bucket && b->position == a->position + 1 &&
           b->range.offset - (a->range.offset + a->range.bytes) <= bridge;
}

static int64_t merge(const Placed *placed, int64_t n, size_t bridge, BucketRange *out) {
    int64_t n_out = 0;
    for (int64_t i = 0; i < n; i++) {
        const Placed *p = &placed[i];
        if (i > 0 && are_neighbors(&placed[i - 1], p, bridge)) {
            out[n_out - 1].bytes = p->range.offset + p->range.bytes - out[n_out - 1].offset;
        } else {
            out[n_out++] = (BucketRange){p->range.offset, p->range.bytes, p->bucket, p->after};
        }
    }
    return n_out;
}

Status buckets_cut(const GradientRange *gradients, int64_t n, BucketSizes sizes, BucketRange *out, int64_t *n_out) {
    *n_out = 0;
    if (n == 0) return OK;
    Placed *placed = calloc((size_t)n, sizeof *placed);
    if (placed == NULL) return ERROR(STATUS_FAILURE, "out of memory for %lld gradients", (long long)n);
    assign(placed, gradients, n, sizes);
    Status status = positions(placed, n);
    if (!failed(status)) {
        qsort(placed, (size_t)n, sizeof *placed, by_bucket);
        *n_out = merge(placed, n, sizes.bridge, out);
    }
    free(placed);
    return status;
}
