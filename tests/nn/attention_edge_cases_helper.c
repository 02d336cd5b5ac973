#include "tests/nn/attention_edge_cases_helper.h"

#include "tests/harness.h"
#include "tests/nn/attention_edges_helper.h"

#include <float.h>
#include <math.h>

#define SMALL SIZES(2, 2, 1, 150, 150, 64)
#define UPPER .causal = CAUSAL_UPPER_LEFT
#define ADDITIVE .bias = BIAS_ADDITIVE, .bias_dims = "q"
static const Edge edges[] = {
    {"q all NaN", .shape = {SMALL}, .poisons = {{ATT_Q, 0, 150, -1, NAN}}},
    {"q all NaN, forward alone", .shape = {SMALL, UPPER}, .poisons = {{ATT_Q, 0, 150, -1, NAN}},
     .infers = true},
    {"a NaN query", .shape = {SMALL, UPPER}, .poisons = {{ATT_Q, 70, 71, 3, NAN}}},
    {"a NaN key", .shape = {SMALL, UPPER}, .poisons = {{ATT_K, 70, 71, 3, NAN}}},
    {"a NaN key for all", .shape = {SMALL}, .poisons = {{ATT_K, 70, 71, 3, NAN}}},
    {"a NaN value", .shape = {SMALL, UPPER}, .poisons = {{ATT_V, 70, 71, 3, NAN}}},
    {"a NaN value, forward alone", .shape = {SMALL, UPPER}, .poisons = {{ATT_V, 100, 101, 3, NAN}},
     .infers = true},
    {"a NaN gradient", .shape = {SMALL, UPPER}, .poisons = {{ATT_DOUT, 70, 71, 3, NAN}}},
    {"the last token NaN", .shape = {SMALL, UPPER},
     .poisons = {{ATT_Q, 149, 150, -1, NAN},
                 {ATT_K, 149, 150, -1, NAN},
                 {ATT_V, 149, 150, -1, NAN},
                 {ATT_DOUT, 149, 150, -1, NAN}}},
    {"the first token NaN in a window", .shape = {SMALL, UPPER, .window = 20},
     .poisons = {{ATT_K, 0, 1, -1, NAN}, {ATT_V, 0, 1, -1, NAN}}},
    {"a token infinite in a window", .shape = {SMALL, UPPER, .window = 20},
     .poisons = {{ATT_V, 64, 65, 5, INFINITY}}},
    {"keys that nobody sees", .shape = {SIZES(1, 2, 2, 100, 200, 64), UPPER}, .fills_hidden = true},
    {"queries that see nothing",
     .shape = {SIZES(1, 2, 2, 200, 90, 64), .causal = CAUSAL_LOWER_RIGHT}, .fills_hidden = true},
    {"padding", .shape = {SIZES(6, 2, 2, 150, 170, 64), .ranges = SHAPE_LENGTHS},
     .fills_hidden = true},
    {"padding, causal", .shape = {SIZES(6, 2, 1, 150, 150, 128), UPPER, .ranges = SHAPE_LENGTHS},
     .fills_hidden = true},
    {"padding, heads of 80", .shape = {SIZES(6, 2, 1, 150, 150, 80), .ranges = SHAPE_LENGTHS},
     .fills_hidden = true},
    {"padding, forward alone", .shape = {SIZES(6, 2, 1, 70, 300, 32), .ranges = SHAPE_LENGTHS},
     .fills_hidden = true, .infers = true},
    {"padding, dropout",
     .shape = {SIZES(6, 2, 1, 150, 152, 64), .ranges = SHAPE_LENGTHS, .dropout = 0.2},
     .fills_hidden = true},
    {"packed",
     .shape = {SIZES(3, 2, 1, 300, 200, 96), UPPER, .ranges = SHAPE_PACKED, .segments = 4},
     .fills_hidden = true},
    {"packed, heads of 256",
     .shape = {SIZES(3, 2, 1, 300, 200, 256), UPPER, .ranges = SHAPE_PACKED, .segments = 4},
     .fills_hidden = true},
    {"a NaN token in documents",
     .shape = {SIZES(2, 2, 2, 300, 300, 64), UPPER, .ranges = SHAPE_DOCUMENTS, .segments = 7},
     .poisons = {{ATT_K, 130, 131, -1, NAN},
                 {ATT_V, 130, 131, -1, NAN},
                 {ATT_Q, 200, 201, -1, NAN},
                 {ATT_DOUT, 200, 201, -1, NAN}}},
    {"an infinite key", .shape = {SMALL, UPPER}, .poisons = {{ATT_K, 70, 71, 0, INFINITY}}},
    {"scores of -inf", .shape = {SMALL, UPPER},
     .poisons = {{ATT_Q, 0, 150, 0, -1}, {ATT_K, 60, 80, 0, INFINITY}}},
    {"nothing but scores of -inf", .shape = {SMALL},
     .poisons = {{ATT_Q, 0, 150, 0, -1}, {ATT_K, 0, 150, 0, INFINITY}}},
    {"boolean bias over NaN", .shape = {SMALL, .bias = BIAS_BOOLEAN},
     .poisons = {{ATT_V, 70, 71, 3, NAN}, {ATT_DOUT, 90, 91, 2, NAN}}},
    {"boolean bias over NaN keys", .shape = {SMALL, UPPER, .bias = BIAS_BOOLEAN},
     .poisons = {{ATT_K, 70, 71, 3, NAN}}},
    {"a key hidden from all", .shape = {SMALL, .bias = BIAS_BOOLEAN, .bias_dims = "b"},
     .poisons = {{ATT_BIAS, 60, 80, -1, 0}}, .fills_hidden = true},
    {"keys hidden by -inf", .shape = {SMALL, ADDITIVE},
     .poisons = {{ATT_BIAS, 60, 80, -1, -INFINITY},
                 {ATT_K, 60, 80, -1, NAN},
                 {ATT_V, 60, 80, -1, NAN}}},
    {"a row of -inf", .shape = {SMALL, ADDITIVE},
     .poisons = {{ATT_BIAS, 0, 150, 40, -INFINITY}, {ATT_DOUT, 40, 41, -1, NAN}}},
    {"a NaN bias", .shape = {SMALL, UPPER, ADDITIVE}, .poisons = {{ATT_BIAS, 60, 61, 100, NAN}}},
    {"a hidden NaN bias", .shape = {SMALL, UPPER, ADDITIVE},
     .poisons = {{ATT_BIAS, 110, 111, 100, NAN}}},
    {"an infinite bias", .shape = {SMALL, ADDITIVE},
     .poisons = {{ATT_BIAS, 60, 61, 100, INFINITY}}},
    {"a row of -1e30", .shape = {SMALL, ADDITIVE},
     .poisons = {{ATT_BIAS, 0, 150, 40, (double)-1e30f}}},
    {"a row of the least number", .shape = {SMALL, UPPER, ADDITIVE},
     .poisons = {{ATT_BIAS, 0, 150, 40, (double)-FLT_MAX}}},
    {"half a row of the least number", .shape = {SMALL, ADDITIVE},
     .poisons = {{ATT_BIAS, 0, 75, 40, (double)-FLT_MAX}}},
    {"a negative scale", .shape = {SMALL, UPPER, .scale = -0.3f}},
    {"a negative scale, dropout, window",
     .shape = {SMALL, UPPER, .scale = -0.3f, .window = 30, .dropout = 0.3}},
    {"a negative scale, documents", .shape = {SIZES(2, 4, 2, 300, 300, 128), UPPER, .scale = -0.3f,
                                              .ranges = SHAPE_DOCUMENTS, .segments = 5}},
    {"a negative scale, bias", .shape = {SMALL, ADDITIVE, .scale = -0.3f}},
    {"a scale of 0", .shape = {SMALL, UPPER, .scale = -0.0f}},
};

void edges_cases(Device *device, DType dtype) {
    for (size_t i = 0; i < COUNT(edges); i++) edge_run(device, &edges[i], dtype);
}

#define LONG SIZES(1, 2, 1, 1030, 1030, 128)
static const Edge long_edges[] = {
    {"long: a NaN query", .shape = {LONG, UPPER}, .poisons = {{ATT_Q, 700, 701, 3, NAN}}},
    {"long: a NaN key", .shape = {LONG, UPPER}, .poisons = {{ATT_K, 700, 701, 3, NAN}}},
    {"long: a NaN value", .shape = {LONG, UPPER}, .poisons = {{ATT_V, 130, 131, 3, NAN}}},
    {"long: a NaN gradient", .shape = {LONG, UPPER}, .poisons = {{ATT_DOUT, 700, 701, 3, NAN}}},
    {"long: an infinite key", .shape = {LONG}, .poisons = {{ATT_K, 700, 701, 0, INFINITY}}},
    {"long: a token infinite in a window", .shape = {LONG, UPPER, .window = 200},
     .poisons = {{ATT_V, 400, 401, 5, INFINITY}}},
    {"long: keys that nobody sees", .shape = {SIZES(1, 1, 1, 1030, 1200, 128), UPPER},
     .fills_hidden = true},
    {"long: queries that see nothing",
     .shape = {SIZES(1, 1, 1, 1300, 1030, 128), .causal = CAUSAL_LOWER_RIGHT},
     .fills_hidden = true},
    {"long: a NaN key, heads of 64", .shape = {SIZES(1, 2, 1, 1030, 1100, 64), UPPER},
     .poisons = {{ATT_K, 500, 501, 3, NAN}, {ATT_DOUT, 900, 901, 2, NAN}}},
};

void edges_long_cases(Device *device, DType dtype) {
    static const double scores[] = {30, 1e5, 1e30};
    for (size_t i = 0; i < COUNT(long_edges); i++) edge_run(device, &long_edges[i], dtype);
    for (size_t i = 0; i < COUNT(scores); i++) {
        AttentionShape shape = {LONG, .causal = CAUSAL_UPPER_LEFT, .seed = i};
        edges_equal(device, shape, dtype, scores[i], false);
        edges_equal(device, shape, dtype, scores[i], true);
    }
}
