/* The GPU's attention backends over a matrix of head sizes, masks, lengths and precisions, against
 * a reference in f64. */
#include "tests/gpu/attention_matrix_helper.h"
#include "tests/gpu/cases_helper.h"

typedef struct Mask {
    CausalMask causal;
    int64_t window;
    ShapeRanges ranges;
    int segments;
} Mask;

static const Mask masks[] = {
    {CAUSAL_NONE, 0, SHAPE_ALL, 0},           {CAUSAL_UPPER_LEFT, 0, SHAPE_ALL, 0},
    {CAUSAL_LOWER_RIGHT, 0, SHAPE_ALL, 0},    {CAUSAL_UPPER_LEFT, 17, SHAPE_ALL, 0},
    {CAUSAL_LOWER_RIGHT, 70, SHAPE_ALL, 0},   {CAUSAL_NONE, 0, SHAPE_LENGTHS, 0},
    {CAUSAL_LOWER_RIGHT, 9, SHAPE_PACKED, 4}, {CAUSAL_UPPER_LEFT, 0, SHAPE_DOCUMENTS, 5},
};
enum { MASKS = sizeof masks / sizeof *masks, MATRIX = 2 * MASKS };

static const int64_t short_lengths[][2] = {{1, 1},    {63, 65},   {64, 64}, {65, 127},
                                           {127, 63}, {127, 127}, {1, 64}};
static const int64_t longer_lengths[][2] = {
    {127, 300}, {1000, 1000}, {200, 129}, {1024, 1024}, {256, 256}};

/* Longer sequences take minutes under a sanitizer. */
static int64_t at_length(int64_t T) { return case_sanitized() && T > 160 ? 160 : T; }

/* Each mask with two pairs of lengths. The pairs rotate with the head size, as do dropout, groups
 * of heads and layouts. */
static void matrix_fill(int64_t HS, int turn, AttentionShape *shapes) {
    for (int m = 0; m < MASKS; m++) {
        for (int k = 0; k < 2; k++) {
            const int64_t *T =
                k == 0 ? short_lengths[(m + 3 * turn) % 7] : longer_lengths[(m + 2 * turn) % 5];
            shapes[2 * m + k] = (AttentionShape){
                SIZES(T[0] < 1000 ? 2 : 1, 2, 1 + (m + turn) % 2, at_length(T[0]), at_length(T[1]),
                      HS),
                .causal = masks[m].causal,
                .window = masks[m].window,
                .dropout = (m + k + turn) % 3 == 0 ? 0.2 : 0,
                .head_major = (m + k) % 2 == 0,
                .ranges = masks[m].ranges,
                .segments = masks[m].segments,
                .seed = (uint64_t)(HS * 100 + 2 * m + k),
            };
        }
    }
}

static void check(const AttentionShape *shapes, int count) {
    if (device_count_cuda() == 0) SKIP("no GPU");
    Device *gpu = case_gpu();
    if (gpu != NULL) matrix_check(gpu, shapes, count);
}

static void matrix_of(int64_t HS, int turn) {
    AttentionShape shapes[MATRIX];
    matrix_fill(HS, turn, shapes);
    check(shapes, MATRIX);
}

static void heads_of_32(void) { matrix_of(32, 0); }
static void heads_of_64(void) { matrix_of(64, 1); }
static void heads_of_80(void) { matrix_of(80, 2); }
static void heads_of_96(void) { matrix_of(96, 3); }
static void heads_of_128(void) { matrix_of(128, 4); }
static void heads_of_256(void) { matrix_of(256, 5); }

/* Rows that allow accesses of 16, 8, 4 and 2 bytes, some shorter than any tile. */
static void ragged_heads(void) {
    static const int64_t sizes[] = {1, 5, 20, 40, 72, 100, 250};
    AttentionShape shapes[2 * COUNT(sizes)], of_size[MATRIX];
    for (int i = 0; i < (int)COUNT(sizes); i++) {
        matrix_fill(sizes[i], i, of_size);
        shapes[2 * i] = of_size[2 * i], shapes[2 * i + 1] = of_size[2 * i + 2];
    }
    check(shapes, COUNT(shapes));
}

static void long_rows(void) {
    AttentionShape shape = {SIZES(1, 1, 1, 4096, 4096, 64), .causal = CAUSAL_UPPER_LEFT};
    check(&shape, 1);
}

static void biases(void) {
    static const char *const dims[] = {"bhq", "hq", "q", "b", "", "h", "bq"};
    AttentionShape shapes[2 * COUNT(dims)], of_size[MATRIX];
    matrix_fill(32, 0, of_size);
    for (int i = 0; i < (int)COUNT(shapes); i++) {
        shapes[i] = of_size[(3 * i + 1) % MATRIX];
        shapes[i].bias = i % 2 == 0 ? BIAS_ADDITIVE : BIAS_BOOLEAN;
        shapes[i].bias_dims = dims[i / 2];
    }
    check(shapes, COUNT(shapes));
}

/* Backends without a softcap refuse. */
static void softcaps(void) {
    AttentionShape shapes[MATRIX + 2];
    matrix_fill(64, 2, shapes);
    shapes[MATRIX] = shapes[MATRIX + 1] = shapes[3];
    shapes[MATRIX].bias = BIAS_ADDITIVE, shapes[MATRIX + 1].bias = BIAS_BOOLEAN;
    for (int i = 0; i < MATRIX + 2; i++) shapes[i].softcap = i % 2 == 0 ? 2 : 20;
    check(shapes, MATRIX + 2);
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(heads_of_32),  TEST(heads_of_64),  TEST(heads_of_80),
                          TEST(heads_of_96),  TEST(heads_of_128), TEST(heads_of_256),
                          TEST(ragged_heads), TEST(long_rows),    TEST(biases),
                          TEST(softcaps)};
    return harness_run(argc, argv, "attention matrix on the GPU", tests, COUNT(tests));
}
