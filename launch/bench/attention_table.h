/* The table of bench attention: as text, as CSV and as a chart. */
#pragma once

#include "core/perf/median.h"
#include "launch/bench/bench_output.h"
#include "nn/attention/sdpa.h"

enum { ATTENTION_MOST_LENGTHS = 16, ATTENTION_MASK_ROOM = 96 };

/* Common to all rows. */
typedef struct AttentionShape {
    const char *device;
    bool is_reduced; /* smaller than the tutorial's call, for a CPU */
    int64_t B, NH, NH_kv, HS;
    int64_t Tk; /* 0: equal to T */
    DType dtype;
    bool tf32;
    int layout; /* BenchLayout, never auto */
    CausalMask causal;
    int64_t window;
    double dropout;
    BiasKind bias;
    const char *bias_dims;
    int64_t key_lengths[ATTENTION_MOST_LENGTHS];
    int key_length_count; /* 0: every row has all keys */
    int64_t repeats;
} AttentionShape;

typedef struct AttentionRow {
    const char *name, *refusal; /* NULL: it was measured */
    int64_t T, documents;       /* mean length of documents; 0: none */
    char mask[ATTENTION_MASK_ROOM];
    Spread forward, both; /* seconds */
    double forward_flops, both_flops;
    size_t bytes; /* kept for backward, and workspace */
} AttentionRow;

typedef struct AttentionTable {
    AttentionShape shape;
    double product_rate; /* FLOP/s of a large product */
    int mask_width;      /* of the column */
    BenchOutput *output;
    AttentionRow *rows;
    int count, capacity;
} AttentionTable;

/* The headers of the table and of the CSV. */
void attention_table_begin(const AttentionTable *table);

/* Prints a row and keeps it for the chart. Errors: STATUS_FAILURE without memory. */
NODISCARD Status attention_table_add(AttentionTable *table, const AttentionRow *row);

/* Writes gnuplot commands: bars for one length, lines for several. */
void attention_table_plot(const AttentionTable *table);

void attention_table_free(AttentionTable *table);
