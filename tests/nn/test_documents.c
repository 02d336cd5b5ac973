/* Documents of a packed row: they are found, and kept apart: a row of two documents equals each of
 * them alone. */
#include "tests/harness.h"
#include "tests/nn/documents_helper.h"
#include "tests/nn/model_helper.h"

#include <math.h>
#include <string.h>

/* Two tokens belong to one document if there is no end of text from the first up to the one before
 * the second. */
static bool together(const int32_t *tokens, int64_t a, int64_t b) {
    for (int64_t t = a < b ? a : b; t < (a < b ? b : a); t++) {
        if (tokens[t] == DOCUMENTS_END) return false;
    }
    return true;
}

static void check_found(Device *device, int64_t B, int64_t T, uint32_t rarity) {
    int32_t tokens[3 * 300], ranges[2 * 3 * 300];
    documents_random(B * T, rarity, (uint64_t)T, tokens);
    if (CHECK_OK(documents_by(device, B, T, tokens, ranges))) {
        for (int64_t row = 0; row < B; row++) {
            const int32_t *x = tokens + row * T, *first = ranges + row * T,
                          *end = ranges + (B + row) * T;
            for (int64_t i = 0; i < T; i++) {
                for (int64_t j = 0; j < T; j++)
                    CHECK((first[i] <= j && j < end[i]) == together(x, i, j));
            }
        }
    }
}

static void documents_are_found(void) {
    Device *device = NULL;
    REQUIRE_OK(device_open_cpu(1, &device));
    const int64_t lengths[] = {1, 2, 31, 100, 300};
    const uint32_t rarities[] = {1, 2, 10, 1000000};
    for (size_t k = 0; k < COUNT(lengths); k++) {
        for (size_t r = 0; r < COUNT(rarities); r++)
            check_found(device, 3, lengths[k], rarities[r]);
    }
    device_close(&device);
}

static const StepState still = {.seed = 7, .step = 3, .adam_step = 1, .lr = 0, .loss_scale = 1};

/* A model over T equal position embeddings: the result of a document must not depend on its
 * position. Its convolutions reach over documents of fewer tokens than they have taps. */
static bool model_open(int64_t T, const char *backend, bool mask, TestModel *model) {
    ModelOptions options = model_tiny();
    options.config =
        (ModelConfig){MODEL_CONFIG_DEFAULTS,  .V = 29, .Vp = 32, .T = T, .L = 2, .NH = 2, .C = 8,
                      .short_conv = {3, 2, 4}};
    options.dtype = DTYPE_F64;
    options.B = 1;
    options.backend = backend;
    options.document_mask = mask;
    options.end_of_text = DOCUMENTS_END;
    if (!CHECK_OK(test_model_create(&options, model))) return false;
    for (int k = 0; k < model->parameters->count; k++) {
        const Parameter *parameter = model->parameters->list[k];
        bool is_position = strcmp(parameter->name, "wpe.weight") == 0;
        int64_t columns = parameter->n_dims == 2 ? parameter->shape[1] : 1;
        for (int64_t i = 0; i < parameter->init_rows * columns; i++) {
            double wave = 0.4 * sin(1.7 * (double)i + 0.9 * (double)k) +
                          (parameter->init == INIT_ONES ? 1 : 0);
            model_set(parameter->weight, i, is_position ? 0 : wave);
        }
    }
    return true;
}

/* The summed loss of T tokens alone; adds its gradient, except that of the positions, to
 * `grads`. */
static double loss_of(const int32_t *tokens, int64_t T, const char *backend, bool mask,
                      double *grads, double *evaluated) {
    TestModel model;
    double loss = NAN;
    if (model_open(T, backend, mask, &model) &&
        CHECK_OK(model_step(&model, still, tokens, tokens + 1))) {
        loss = model_loss(&model) * (double)T;
        for (int k = 0, at = 0; k < model.parameters->count; k++) {
            const Parameter *parameter = model.parameters->list[k];
            if (strcmp(parameter->name, "wpe.weight") == 0) continue;
            for (int64_t i = 0; i < tensor_count(parameter->grad); i++) {
                grads[at++] += model_get(parameter->grad, i) * (double)T;
            }
        }
        CHECK_OK(model_evaluate(&model, tokens, tokens + 1, evaluated));
        *evaluated *= (double)T;
    }
    test_model_destroy(&model);
    return loss;
}

enum { MOST_GRADIENTS = 4096 };

static void check_apart(const char *backend) {
    static const int32_t tokens[] = {5, 9, 17, 28, DOCUMENTS_END, 11, 12, 5, 9, DOCUMENTS_END,
                                     8, 2, 21};
    static const int64_t starts[] = {0, 5, 10, 12};
    static double together_grads[MOST_GRADIENTS], apart_grads[MOST_GRADIENTS],
        no_grads[MOST_GRADIENTS];
    double apart = 0, evaluated, unused;
    memset(together_grads, 0, sizeof together_grads);
    memset(apart_grads, 0, sizeof apart_grads);
    double packed = loss_of(tokens, 12, backend, true, together_grads, &evaluated);
    for (int d = 0; d < 3; d++) {
        apart += loss_of(tokens + starts[d], starts[d + 1] - starts[d], backend, false, apart_grads,
                         &unused);
    }
    CHECK_CLOSE(packed, apart, 1e-13);
    CHECK_CLOSE(evaluated, apart, 1e-13);
    CHECK(fabs(loss_of(tokens, 12, backend, false, no_grads, &unused) - apart) > 1e-3);
    double most = 0;
    for (int i = 0; i < MOST_GRADIENTS; i++) {
        CHECK_CLOSE(together_grads[i], apart_grads[i], 1e-12);
        most = fmax(most, fabs(apart_grads[i]));
    }
    CHECK(most > 0.1);
}

static void a_packed_row_is_its_documents(void) {
    check_apart("flash");
    check_apart("mem_efficient");
    check_apart("math");
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(documents_are_found), TEST(a_packed_row_is_its_documents)};
    return harness_run(argc, argv, "documents", tests, COUNT(tests));
}
