/* The structure of programs that rotate, normalize and embed in a packed qkv, and of lookups that
 * share a sorted order. tests/core/test_gradients.c checks their values. */
#include "core/autodiff.h"
#include "core/ops/embedding.h"
#include "core/ops/qk.h"
#include "core/ops/rope.h"
#include "core/ops/value_embedding.h"
#include "tests/harness.h"

#include <string.h>

enum { B = 2, T = 3, NH = 4, NH_KV = 2, HS = 8, COLUMNS = (NH + 2 * NH_KV) * HS };

static const Target cpu = {.kind = DEVICE_CPU, .threads = 1};
static const Target gpu = {.kind = DEVICE_CUDA, .sm = 90, .n_sms = 132};
static const QkOptions plain = {NH, NH_KV, HS, false, 0}, normed = {NH, NH_KV, HS, true, 1e-6};

static int count_ops(const Program *p, const char *name) {
    int count = 0;
    for (int i = 0; i < p->n_nodes; i++) count += strcmp(node_name(p->nodes[i]), name) == 0;
    return count;
}

static Program *program_new(Target target, bool training) {
    Program *p = NULL;
    return CHECK_OK(program_create(target, training, &p)) ? p : NULL;
}

static Tensor *leaf(Program *p, int n_dims, const int64_t *shape) {
    Tensor *t = program_tensor(p, BUFFER_ACTIVATIONS, DTYPE_F32, n_dims, shape);
    if (t != NULL) t->needs_grad = true;
    return t;
}

#define LEAF(p, ...)                                                                               \
    leaf(p, (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]){__VA_ARGS__})

static Tensor *table_of(Program *p, int pairs, int64_t rows) {
    RopeFrequencies f = {.pairs = pairs, .radians = {1, 0.1}, .magnitude = 1};
    return rope_table_record(p, &f, NULL, rows, DTYPE_F32);
}

/* Differentiates from a random gradient of y; whether backward needs no copy. */
static bool is_free_of_copies(Program *p, Tensor *y) {
    Tensor *seed = program_tensor_like(p, BUFFER_ACTIVATIONS, y);
    autodiff_share(p, y, seed);
    autodiff_run(p);
    return CHECK_OK(program_status(p)) && count_ops(p, "copy") == 0;
}

static void rotation_is_in_place(void) {
    Program *p = program_new(cpu, true);
    Tensor *qkv = LEAF(p, B, T, COLUMNS), *table = table_of(p, HS / 2, T);
    Tensor *y = qk_record(p, qkv, table, NULL, NULL, &plain);
    CHECK(y != NULL && y != qkv && y->buffer == qkv->buffer && y->needs_grad);
    CHECK(is_free_of_copies(p, y));
    CHECK(count_ops(p, "qk") == 1 && count_ops(p, "qk_backward") == 1);
    CHECK(autodiff_gradient(p, qkv) == autodiff_gradient(p, y));
    program_destroy(&p);
}

/* Training keeps what backward reads; evaluation keeps nothing. */
static void norm_is_in_place_without_training(void) {
    for (int training = 0; training < 2; training++) {
        Program *p = program_new(cpu, training);
        Tensor *qkv = LEAF(p, B, T, COLUMNS), *gamma = LEAF(p, HS);
        Tensor *y = qk_record(p, qkv, table_of(p, 2, B * T), gamma, NULL, &normed);
        CHECK(y != NULL && (y->buffer == qkv->buffer) == !training);
        if (training) CHECK(is_free_of_copies(p, y));
        program_destroy(&p);
    }
}

static void nothing_to_do_records_nothing(void) {
    Program *p = program_new(cpu, true);
    Tensor *qkv = LEAF(p, B, T, COLUMNS);
    CHECK(qk_record(p, qkv, NULL, NULL, NULL, &plain) == qkv && p->n_nodes == 0);
    CHECK(qk_record(p, NULL, NULL, NULL, NULL, &plain) == NULL);
    CHECK(value_embedding_record(p, qkv, NULL, NULL, NH, NH_KV, HS) == NULL);
    program_destroy(&p);
}

static void value_embedding_is_in_place(void) {
    Program *p = program_new(cpu, true);
    Tensor *qkv = LEAF(p, B, T, COLUMNS), *e = LEAF(p, B, T, NH_KV * HS), *gate = LEAF(p, NH_KV);
    Tensor *y = value_embedding_record(p, qkv, e, gate, NH, NH_KV, HS);
    CHECK(y != NULL && y != qkv && y->buffer == qkv->buffer);
    CHECK(is_free_of_copies(p, y));
    CHECK(autodiff_gradient(p, e) != NULL && autodiff_gradient(p, gate) != NULL);
    program_destroy(&p);
}

static void refused(Program *p, const char *why) {
    CHECK_ERROR(program_status(p), STATUS_CONFIG, why);
    program_destroy(&p);
}

static void bad_shapes_are_named(void) {
    Program *p = program_new(cpu, true);
    qk_record(p, LEAF(p, B, T, COLUMNS - HS), NULL, NULL, NULL, &normed);
    refused(p, "qk: f32 (2, 3, 56) does not hold 4 and twice 2 heads of 8");
    p = program_new(cpu, true);
    qk_record(p, LEAF(p, B, T, COLUMNS), table_of(p, HS, T), NULL, NULL, &plain);
    refused(p, "qk: the table f32 (3, 16) does not fit heads of 8 in f32 (2, 3, 64)");
    p = program_new(cpu, true);
    qk_record(p, LEAF(p, B, T, COLUMNS), table_of(p, 2, B), NULL, NULL, &plain);
    refused(p, "qk: the table f32 (2, 4) does not fit");
    p = program_new(cpu, true);
    qk_record(p, LEAF(p, B, T, COLUMNS), NULL, NULL, LEAF(p, HS + 1), &normed);
    refused(p, "qk: gamma f32 (9) does not fit normalized heads of 8");
    p = program_new(cpu, true);
    qk_record(p, LEAF(p, B, T, COLUMNS), NULL, LEAF(p, HS), NULL, &plain);
    refused(p, "qk: gamma f32 (8) does not fit unnormalized heads of 8");
    p = program_new(cpu, true);
    value_embedding_record(p, LEAF(p, B, T, COLUMNS), LEAF(p, B, T, HS), LEAF(p, NH_KV), NH, NH_KV,
                           HS);
    refused(p, "value_embedding: f32 (2, 3, 8) and gate f32 (2) do not fit 2 heads of 8");
}

static int orders_of(int lookups) {
    Program *p = program_new(gpu, true);
    Tensor *tokens = program_tensor(p, BUFFER_INPUTS, DTYPE_I32, 2, (int64_t[]){B, T});
    for (int i = 0; i < lookups; i++) {
        Tensor *x = embedding_record(p, tokens, LEAF(p, 11, 16), NULL);
        autodiff_share(p, x, program_tensor_like(p, BUFFER_ACTIVATIONS, x));
    }
    autodiff_run(p);
    CHECK_OK(program_status(p));
    CHECK(count_ops(p, "embedding_backward") == lookups);
    int orders = count_ops(p, "embedding_order");
    program_destroy(&p);
    return orders;
}

static void lookups_of_the_same_tokens_sort_once(void) {
    CHECK(orders_of(1) == 0); /* the gradient sorts */
    CHECK(orders_of(2) == 1);
    CHECK(orders_of(5) == 1);
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(rotation_is_in_place),          TEST(norm_is_in_place_without_training),
        TEST(nothing_to_do_records_nothing), TEST(value_embedding_is_in_place),
        TEST(bad_shapes_are_named),          TEST(lookups_of_the_same_tokens_sort_once),
    };
    return harness_run(argc, argv, "heads", tests, COUNT(tests));
}
