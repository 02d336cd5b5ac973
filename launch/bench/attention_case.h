/* One call of bench attention, with its masks. */
#pragma once

#include "launch/bench/attention_table.h"
#include "launch/bench/bench.h"
#include "nn/attention/ranges.h"
#include "nn/attention/standalone.h"

typedef struct AttentionCase {
    AttentionCall call; /* as in training */
    bool packed;        /* q, k and v are one tensor */
    int64_t documents;  /* mean length of documents; 0: none */
    char mask[ATTENTION_MASK_ROOM];
    const int64_t *key_lengths; /* of the rows, repeated; borrowed from the shape */
    int key_length_count;
    bool is_drawn;
    AttentionRanges ranges; /* if the call has them */
    uint8_t *seen;          /* a boolean bias */
    double pairs;           /* visible pairs of query and key, over all rows and heads */
} AttentionCase;

/* Reads all options except lengths. Errors: STATUS_USAGE for options that contradict each other. */
NODISCARD Status attention_shape_of(const BenchOptions *options, const Device *device,
                                    AttentionShape *out);

/* The call for T queries, with documents of this mean length; 0: without documents. Allocates
 * nothing. Errors: STATUS_USAGE for an invalid call. */
NODISCARD Status attention_case_of(const AttentionShape *shape, int64_t T, int64_t documents,
                                   AttentionCase *out);

/* Draws the masks, counts the visible pairs, and uploads the masks. Errors: STATUS_FAILURE. */
NODISCARD Status attention_case_upload(AttentionCase *c, Sdpa *sdpa);
void attention_case_free(AttentionCase *c);

/* Parses "128,256,512", the value of an option. Errors: STATUS_USAGE. */
NODISCARD Status attention_lengths_parse(const char *option, const char *text, int64_t *lengths,
                                         int *count);
