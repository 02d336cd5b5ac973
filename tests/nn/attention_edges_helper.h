/* Attention with extreme numbers, on any device: scores up to 1e30, NaN and infinity in visible and
 * in hidden elements. Every backend of the device that accepts a case runs it in poisoned memory
 * and is compared with the reference in f64: it must have NaNs exactly where the reference has
 * them. */
#pragma once

#include "core/device.h"
#include "core/dtype.h"
#include "tests/nn/attention_run_helper.h"

/* Equal scores of every size and sign have equal weights in both directions; `kinds` head sizes, up
 * to 6. */
void edges_equal_scores(Device *device, DType dtype, size_t kinds);

/* Two keys with equal scores: dv is half of dout within 1e-3. */
void edges_two_keys(Device *device, DType dtype);

/* Equal scores over `Tk` keys, many tiles with the same maximum: every key has the same weight. */
void edges_long_rows(Device *device, DType dtype, int64_t Tk);

/* Sets `value` in rows [first, end) of a tensor, in every row of the batch and every head; in a
 * bias, in keys [first, end) of its rows. d: one element of each row, or -1 for all. */
typedef struct Poison {
    int which;
    int64_t first, end, d;
    double value;
} Poison;

typedef struct Edge {
    const char *name;
    AttentionShape shape;
    Poison poisons[4];
    bool fills_hidden; /* NaN in all elements that the masks hide completely */
    bool infers;       /* forward only */
} Edge;

/* Runs a case on every backend of the device that accepts it. */
void edge_run(Device *device, const Edge *edge, DType dtype);

/* Equal scores of this size, or of both signs in turn. Nothing where the dtype cannot hold them. */
void edges_equal(Device *device, AttentionShape shape, DType dtype, double score, bool alternates);
