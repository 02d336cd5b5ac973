/* Attention calls for tests, of every kind of mask, with random inputs, and what they should give:
 * a naive reference in f64. tests/nn/attention_run_helper.h runs them by a backend. */
#pragma once

#include "nn/attention/attention.h"
#include "nn/attention/ranges.h"

/* q, k, v, dout, the bias (of no elements where there is none), then what comes out. All as
 * doubles, dense and in the call's layouts; a boolean bias is 0 or 1. */
enum {
    ATT_Q,
    ATT_K,
    ATT_V,
    ATT_DOUT,
    ATT_BIAS,
    ATT_OUT,
    ATT_LSE,
    ATT_DQ,
    ATT_DK,
    ATT_DV,
    ATT_DBIAS, /* of no elements but for an additive bias */
    ATT_TENSORS
};

typedef struct AttentionData {
    double *values[ATT_TENSORS];
    int64_t counts[ATT_TENSORS];
    AttentionRanges ranges; /* where the call has them */
} AttentionData;

/* What the ranges keep apart. Lengths are random, zeros among them. */
typedef enum ShapeRanges {
    SHAPE_ALL,
    SHAPE_LENGTHS, /* padded rows: a length each of queries and keys */
    SHAPE_PACKED, /* `pieces` sequences behind one another in each row, causal inside each (the call
                     is not) */
    SHAPE_DOCUMENTS, /* `pieces` documents in each row; the call's causal mask narrows them */
} ShapeRanges;

#define SIZES(b, nh, nh_kv, tq, tk, hs)                                                            \
    .B = b, .NH = nh, .NH_kv = nh_kv, .Tq = tq, .Tk = tk, .HS = hs

typedef struct AttentionShape {
    int64_t B, NH, NH_kv, Tq, Tk, HS;
    CausalMask causal;
    int64_t window;
    double dropout;
    bool head_major; /* (B, NH, T, HS) instead of (B, T, NH, HS) */
    float scale;     /* 0: 1 / sqrt(HS) */
    ShapeRanges ranges;
    int pieces;
    BiasKind bias;
    const char *bias_dims; /* those of "bhq" that the bias has; it is broadcast over the others.
                              NULL: all three */
    uint64_t seed;         /* of the inputs */
} AttentionShape;

AttentionCall attention_call_of(AttentionShape shape, DType dtype);

/* Random inputs within +-magnitude, rounded to the call's dtype; outputs NaN; ranges as the shape
 * says. A boolean bias hides a third of the keys, and every key from each 11th of its rows.
 * attention_data_destroy also after a failure. */
bool attention_data_create(const AttentionShape *shape, const AttentionCall *call, double magnitude,
                           AttentionData *out);
void attention_data_destroy(AttentionData *data);

/* Sets what the masks hide from everything: k and v that no query sees, q and dout of queries that
 * see no key. */
void attention_fill_hidden(const AttentionCall *call, AttentionData *data, double value);

/* Fills the outputs: by the formulas, one query at a time. What is hidden is not touched. */
void attention_reference(const AttentionCall *call, const StepState *step, AttentionData *data);

/* The root of the mean squared difference of one output, and of what is wanted; NaN where one has a
 * NaN or an infinity that the other lacks. */
double attention_error(const AttentionData *got, const AttentionData *wanted, int which,
                       double *size);

/* A value as a dtype holds it: f32, f64, f16 or bf16, rounded to nearest even. */
double attention_rounded(double value, DType dtype);
