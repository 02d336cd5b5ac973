/* One call of bench attention, with the masks that it is measured on. */
#pragma once

#include "launch/bench/attention_table.h"
#include "launch/bench/bench.h"
#include "nn/attention/ranges.h"
#include "nn/attention/standalone.h"

typedef struct AttentionCase {
    AttentionCall call; /* as it trains */
    bool packed;        /* q, k and v are one tensor */
    int64_t documents;  /* their mean length; 0: none */
    char mask[ATTENTION_MASK_ROOM];
    const int64_t *key_lengths; /* of the rows in turn; the shape's */
    int key_length_count;
    bool is_drawn;
    AttentionRanges ranges; /* where the call has them */
    uint8_t *seen;          /* a boolean bias */
    double pairs;           /* of query and key that see each other, over all rows and heads */
} AttentionCase;

/* What the options say but for lengths. Errors: STATUS_USAGE for options that do not go
 * together. */
NODISCARD Status attention_shape_of(const BenchOptions *options, const Device *device,
                                    AttentionShape *out);

/* The call for T queries, with documents or, where that is 0, without. Takes no memory.
 * Errors: STATUS_USAGE for one that makes no sense. */
NODISCARD Status attention_case_of(const AttentionShape *shape, int64_t T, int64_t documents,
                                   AttentionCase *out);

/* Draws the masks, once, and counts pairs; puts them on the device. Errors: STATUS_FAILURE. */
NODISCARD Status attention_case_upload(AttentionCase *c, Sdpa *sdpa);
void attention_case_free(AttentionCase *c);

/* "128,256,512", the value of an option. Errors: STATUS_USAGE. */
NODISCARD Status attention_lengths_parse(const char *option, const char *text, int64_t *lengths,
                                         int *count);
