/* The table of bench attention: for people, as CSV and as a picture. */
#pragma once

#include "core/dtype.h"
#include "launch/bench/output.h"

#include <stdbool.h>
#include <stdint.h>

/* What all rows share. */
typedef struct AttentionShape {
    const char *device;
    bool is_reduced; /* smaller than the tutorial's, for a CPU */
    int64_t B, NH, HS;
    DType dtype;
    bool tf32, causal;
    int64_t window, repeats;
} AttentionShape;

typedef struct AttentionRow {
    const char *name, *refusal; /* NULL: it was measured */
    int64_t T, documents;       /* their mean length; 0: none */
    double forward_s, both_s, forward_flops, both_flops;
    size_t bytes; /* kept for backward, and workspace */
} AttentionRow;

typedef struct AttentionTable {
    AttentionShape shape;
    double product_rate; /* FLOP/s of a large product */
    BenchOutput *output;
    AttentionRow *rows;
    int count, room;
} AttentionTable;

/* The heads of the table and of the CSV. */
void attention_table_begin(const AttentionTable *table);

/* Prints a row and keeps it. Errors: STATUS_FAILURE without memory. */
NODISCARD Status attention_table_add(AttentionTable *table, const AttentionRow *row);

/* gnuplot's commands: bars for one length, lines over several. */
void attention_table_plot(const AttentionTable *table);

void attention_table_free(AttentionTable *table);
