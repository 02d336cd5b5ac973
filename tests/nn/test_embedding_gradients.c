/* Embedding gradients as rows. Two ranks have the same batch, and the test's collectives simulate
 * one of them. They must agree with one rank that has both batches, and with two ranks that reduce
 * whole embeddings. */
#include "tests/harness.h"
#include "tests/nn/model_helper.h"

#include <math.h>
#include <string.h>

enum { T = 16, ROWS = 2, STEPS = 3 };

/* Rank 1 of two; rank 0 has computed the same. */
typedef struct Mirror {
    int sums, gathers;
} Mirror;

static Status double_all(void *self, void *data, int64_t count, DType dtype, const char *label,
                         void *stream) {
    Mirror *mirror = self;
    (void)label, (void)stream;
    mirror->sums++;
    if (dtype != DTYPE_F64) return ERROR(STATUS_FAILURE, "a sum of %s", dtype_name(dtype));
    for (int64_t i = 0; i < count; i++) ((double *)data)[i] *= 2;
    return OK;
}

static Status copy_part(void *self, void *data, int64_t count, DType dtype, const char *label,
                        void *stream) {
    Mirror *mirror = self;
    size_t half = (size_t)(count / 2) * dtype_size(dtype);
    (void)label, (void)stream;
    mirror->gathers++;
    memset(data, 0x7F, half); /* previous content of the other rank's memory */
    memcpy(data, (char *)data + half, half);
    return OK;
}

static Status wait_for(void *self, int left, void *stream) {
    (void)self, (void)left, (void)stream;
    return OK;
}

static Collectives table_of(Mirror *mirror) {
    return (Collectives){.self = mirror,
                         .rank = 1,
                         .size = 2,
                         .all_reduce_start = double_all,
                         .all_gather_start = copy_part,
                         .wait = wait_for};
}

/* V: the rows are at most half of the embeddings' bytes, or more */
static Status model_of(const Collectives *collectives, bool rows, int64_t B, int64_t accumulation,
                       int64_t V, TestModel *model) {
    ModelOptions options = model_tiny();
    options.dtype = DTYPE_F64;
    options.config.V = options.config.Vp = V;
    options.B = B;
    options.accumulation = accumulation;
    options.collectives = collectives;
    options.embedding_rows = rows;
    return test_model_create(&options, model);
}

static Status model_train(TestModel *model, const int32_t *tokens, const int32_t *targets) {
    for (int64_t step = 0; step < STEPS; step++) {
        StepState state = {
            .seed = 3, .step = (uint64_t)step, .adam_step = step + 1, .lr = 1e-3f, .loss_scale = 1};
        TRY(model_step(model, state, tokens, targets));
    }
    return OK;
}

static double distance(const TestModel *a, const TestModel *b, const char *name) {
    const Tensor *x = model_parameter(a, name)->weight, *y = model_parameter(b, name)->weight;
    double most = 0;
    for (int64_t i = 0; i < tensor_count(x); i++)
        most = fmax(most, fabs(model_get(x, i) - model_get(y, i)));
    return most;
}

static void check_near(const TestModel *a, const TestModel *b) {
    const char *const names[] = {"wte.weight", "wpe.weight", "h.0.attn.c_attn.weight", "ln_f.bias"};
    for (size_t i = 0; i < COUNT(names); i++) CHECK(distance(a, b, names[i]) < 1e-9);
    CHECK(fabs(model_loss(a) - model_loss(b)) < 1e-12 &&
          fabs(model_norm(a) / model_norm(b) - 1) < 1e-12);
}

/* One rank has ROWS twice in each micro-batch. */
static void batches_fill(const TestModel *model, int64_t accumulation, int32_t *tokens,
                         int32_t *targets, int32_t *both, int32_t *both_targets) {
    model_batch(model, ROWS * accumulation, tokens, targets);
    for (int64_t i = 0; i < 2 * ROWS * accumulation; i++) {
        int64_t row = i / (2 * ROWS) * ROWS + i % ROWS;
        memcpy(both + i * T, tokens + row * T, T * sizeof *both);
        memcpy(both_targets + i * T, targets + row * T, T * sizeof *both);
    }
}

static void check_agreement(int64_t accumulation) {
    Mirror mirror = {0}, other = {0};
    Collectives ranks = table_of(&mirror), others = table_of(&other);
    TestModel one = {0}, rows = {0}, whole = {0};
    int32_t tokens[2 * ROWS * T], targets[2 * ROWS * T], both[4 * ROWS * T],
        both_targets[4 * ROWS * T];
    bool made = CHECK_OK(model_of(NULL, false, 2 * ROWS, accumulation, 512, &one)) &&
                CHECK_OK(model_of(&ranks, true, ROWS, accumulation, 512, &rows)) &&
                CHECK_OK(model_of(&others, false, ROWS, accumulation, 512, &whole));
    if (made) {
        batches_fill(&one, accumulation, tokens, targets, both, both_targets);
        CHECK_OK(model_train(&one, both, both_targets));
        CHECK_OK(model_train(&rows, tokens, targets));
        CHECK_OK(model_train(&whole, tokens, targets));
        check_near(&rows, &one);
        check_near(&rows, &whole);
        CHECK(mirror.gathers == 2 * STEPS &&
              other.gathers == 0); /* tokens and rows, once per step */
        CHECK(mirror.sums == other.sums);
    }
    test_model_destroy(&one);
    test_model_destroy(&rows);
    test_model_destroy(&whole);
}

static void rows_are_the_whole(void) { check_agreement(1); }

static void rows_of_the_last_micro_batch(void) { check_agreement(2); }

static void many_rows_travel_as_tables(void) {
    Mirror mirror = {0};
    Collectives ranks = table_of(&mirror);
    TestModel model = {0};
    int32_t tokens[ROWS * T], targets[ROWS * T];
    if (CHECK_OK(model_of(&ranks, true, ROWS, 1, 64, &model))) {
        model_batch(&model, ROWS, tokens, targets);
        CHECK_OK(model_train(&model, tokens, targets));
        CHECK(mirror.gathers == 0 && isfinite(model_norm(&model)));
    }
    test_model_destroy(&model);
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(rows_are_the_whole),
        TEST(rows_of_the_last_micro_batch),
        TEST(many_rows_travel_as_tables),
    };
    return harness_run(argc, argv, "tables", tests, COUNT(tests));
}
