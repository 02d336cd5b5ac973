/* What the short convolution refuses to record. tests/core/op_edges_conv_helper.c and
 * test_gradients.c check its values, tests/nn/test_kv_cache.c those with a cache. */
#include "core/ops/short_conv.h"
#include "tests/harness.h"

#include <string.h>

enum { B = 2, T = 3, C = 8 };

static Tensor *tensor(Program *p, DType dtype, int n_dims, const int64_t *shape) {
    return program_tensor(p, BUFFER_ACTIVATIONS, dtype, n_dims, shape);
}

#define TENSOR(p, dtype, ...)                                                                      \
    tensor(p, dtype, (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),                    \
           (int64_t[]){__VA_ARGS__})

static Program *program_new(void) {
    Program *p = NULL;
    CHECK_OK(program_create((Target){.kind = DEVICE_CPU, .threads = 1}, true, &p));
    return p;
}

static void refused(Program *p, const char *part) {
    Status status = program_status(p);
    CHECK(status.code == STATUS_CONFIG && strstr(status_message(), part) != NULL);
    program_destroy(&p);
}

static void weights_of_another_shape(void) {
    const int64_t shapes[][2] = {{1, C}, {5, C}, {3, C - 1}};
    for (size_t i = 0; i < COUNT(shapes); i++) {
        Program *p = program_new();
        Tensor *w = tensor(p, DTYPE_F32, 2, shapes[i]);
        CHECK(short_conv_record(p, TENSOR(p, DTYPE_F32, B, T, C), w, NULL) == NULL);
        refused(p, "does not fit f32 (2, 3, 8)");
    }
    Program *p = program_new();
    short_conv_record(p, TENSOR(p, DTYPE_F32, B, T, C), TENSOR(p, DTYPE_BF16, 3, C), NULL);
    refused(p, "short_conv: bf16 (3, 8) does not fit f32 (2, 3, 8)");
}

static void documents_of_another_shape(void) {
    Program *p = program_new();
    Tensor *h = TENSOR(p, DTYPE_F32, B, T, C), *w = TENSOR(p, DTYPE_F32, 3, C);
    short_conv_record(p, h, w, TENSOR(p, DTYPE_I32, 2, B, T - 1));
    refused(p, "f32 (3, 8) does not fit f32 (2, 3, 8) with documents i32 (2, 2, 2)");
}

static void a_past_of_another_shape(void) {
    Program *p = program_new();
    Tensor *h = TENSOR(p, DTYPE_F32, B, T, C), *w = TENSOR(p, DTYPE_F32, 3, C),
           *positions = TENSOR(p, DTYPE_I32, B, T), *count = TENSOR(p, DTYPE_I32, 1);
    CHECK(short_conv_cached_record(p, h, w, positions, count, TENSOR(p, DTYPE_F32, B, 2, C)) !=
          NULL);
    CHECK_OK(program_status(p));
    short_conv_cached_record(p, h, w, positions, count, TENSOR(p, DTYPE_F32, B, 3, C));
    refused(p, "short_conv_cached: f32 (2, 3, 8), f32 (3, 8) and f32 (2, 3, 8)");
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(weights_of_another_shape), TEST(documents_of_another_shape),
                          TEST(a_past_of_another_shape)};
    return harness_run(argc, argv, "short convolution", tests, COUNT(tests));
}
