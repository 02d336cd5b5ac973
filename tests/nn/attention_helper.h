/* Attention calls for tests, with every kind of mask and random inputs, and a naive reference in
 * f64. tests/nn/attention_run_helper.h runs them on a backend. */
#pragma once

#include "nn/attention/attention.h"
#include "nn/attention/ranges.h"

/* q, k, v, dout, the bias (empty if there is none), then the outputs. All are doubles, dense and in
 * the call's layouts; a boolean bias is 0 or 1. */
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
    ATT_DBIAS, /* empty except for an additive bias */
    ATT_TENSORS
};

typedef struct AttentionData {
    double *values[ATT_TENSORS];
    int64_t counts[ATT_TENSORS];
    AttentionRanges ranges; /* if the call has them */
} AttentionData;

/* The kind of ranges. Lengths are random and include zero. */
typedef enum ShapeRanges {
    SHAPE_ALL,
    SHAPE_LENGTHS, /* padded rows: one length of queries and one of keys each */
    SHAPE_PACKED,  /* `segments` concatenated sequences in each row, causal within each (the call is
                      not) */
    SHAPE_DOCUMENTS, /* `segments` documents in each row; they narrow the call's causal mask */
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
    double softcap;
    ShapeRanges ranges;
    int segments;
    BiasKind bias;
    const char *bias_dims; /* the letters of "bhq" for the dimensions of the bias; it is broadcast
                              over the others. NULL: all three */
    uint64_t seed;         /* of the inputs */
} AttentionShape;

AttentionCall attention_call_of(AttentionShape shape, DType dtype);

/* Random inputs within +-magnitude, rounded to the call's dtype; outputs NaN; ranges as the shape
 * specifies. A boolean bias hides a third of the keys, and all keys in each 11th of its rows. Call
 * attention_data_destroy after a failure, too. */
bool attention_data_create(const AttentionShape *shape, const AttentionCall *call, double magnitude,
                           AttentionData *out);
void attention_data_destroy(AttentionData *data);

/* Sets all completely hidden elements: k and v that no query sees, q and dout of queries that see
 * no key. */
void attention_fill_hidden(const AttentionCall *call, AttentionData *data, double value);

/* Computes the outputs by the formulas, one query at a time. Hidden elements are not read. */
void attention_reference(const AttentionCall *call, const StepState *step, AttentionData *data);

/* The root mean square of one output's error, and of its reference; NaN if one has a NaN or an
 * infinity that the other lacks. */
double attention_error(const AttentionData *got, const AttentionData *wanted, int which,
                       double *size);

/* Rounds a value to a dtype, f32, f64, f16 or bf16, to nearest even. */
double attention_rounded(double value, DType dtype);
