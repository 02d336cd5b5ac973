/* A complete GPT: all gradients against finite differences in f64, and options that must not change
 * them. */
#include "core/ops/dropout.h"
#include "tests/harness.h"
#include "tests/nn/gradients_helper.h"

#include <string.h>

static void gradients(void) { check_gradients(options_f64(2, 1, 0, "flash")); }
static void gradients_with_dropout(void) { check_gradients(options_f64(2, 1, 0.2, "math")); }
static void gradients_in_chunks(void) {
    ModelOptions options = options_f64(3, 1, 0.1, "baseline");
    options.logits_bytes = 5 * 32 * sizeof(double);
    options.config.bias = false;
    check_gradients(options);
}

/* Documents end within the rows, at different positions in each row. */
static void gradients_with_documents(void) {
    const char *const backends[] = {"flash", "mem_efficient", "math"};
    for (size_t k = 0; k < COUNT(backends); k++) {
        ModelOptions options = options_f64(3, 1, 0.1, backends[k]);
        options.document_mask = true;
        model_batch(&(TestModel){.options = options}, ROWS, tokens, targets);
        options.end_of_text = tokens[9 + 3];
        options.recompute = k == 0 ? RECOMPUTE_BLOCK : RECOMPUTE_NONE;
        check_gradients(options);
    }
}

/* Dropout masks depend on the global batch, so dropout changes nothing here. */
static void micro_batches_are_one_batch(void) {
    check_same(options_f64(4, 2, 0.3, NULL), options_f64(8, 1, 0.3, NULL), 1e-12);
    check_same(options_f64(2, 4, 0.3, NULL), options_f64(8, 1, 0.3, NULL), 1e-12);
    check_same(options_f64(1, 8, 0, NULL), options_f64(8, 1, 0, NULL), 1e-12);
}

static void backends_agree(void) {
    check_same(options_f64(8, 1, 0.3, "flash"), options_f64(8, 1, 0.3, "math"), 1e-12);
    check_same(options_f64(8, 1, 0.3, "baseline"), options_f64(8, 1, 0.3, "math"), 1e-12);
}

static void chunks_agree(void) {
    ModelOptions chunks = options_f64(8, 1, 0.1, NULL);
    chunks.logits_bytes = 7 * 32 * sizeof(double);
    check_same(chunks, options_f64(8, 1, 0.1, NULL), 1e-12);
}

/* Recomputation gives the same values, including masks, and takes less memory. */
static void recomputed_gradients_are_the_same(void) {
    const Recompute kinds[] = {RECOMPUTE_GELU, RECOMPUTE_BLOCK};
    for (size_t k = 0; k < COUNT(kinds); k++) {
        ModelOptions again = options_f64(2, 4, 0.3, NULL), kept = options_f64(2, 4, 0.3, NULL);
        again.recompute = kinds[k];
        check_same(again, kept, 1e-15);
        again = kept = model_tiny();
        again.recompute = kinds[k];
        again.config.L = kept.config.L = 6;
        TestModel a, b;
        if (CHECK_OK(test_model_create(&again, &a)) && CHECK_OK(test_model_create(&kept, &b))) {
            CHECK(training_arena_bytes(a.training) < training_arena_bytes(b.training));
        }
        test_model_destroy(&a);
        test_model_destroy(&b);
    }
}

static int count_ops(const TestModel *model, const char *name) {
    const Program *p = model->training->programs[MICRO_ONLY].program;
    int count = 0;
    for (int i = 0; i < p->n_nodes; i++) count += strcmp(node_name(p->nodes[i]), name) == 0;
    return count;
}

/* The last product and the last dropout of a block are not recomputed, because nothing reads them;
 * no gradient is copied. */
static void recomputing_costs_no_more_than_it_must(void) {
    const Recompute kinds[] = {RECOMPUTE_NONE, RECOMPUTE_GELU, RECOMPUTE_BLOCK};
    const int linears[] = {4 * 2 + 1, 4 * 2 + 1, 7 * 2 + 1},
              dropouts[] = {10, 10, 12}; /* embedding: 2; a branch: 2 */
    for (size_t k = 0; k < COUNT(kinds); k++) {
        ModelOptions options = options_f64(2, 1, 0.3, "flash");
        options.recompute = kinds[k];
        TestModel model;
        if (CHECK_OK(test_model_create(&options, &model))) {
            CHECK(count_ops(&model, "linear") == linears[k] &&
                  count_ops(&model, "dropout") == dropouts[k]);
            CHECK(count_ops(&model, "gelu") == (kinds[k] == RECOMPUTE_GELU ? 4 : 0));
            CHECK(count_ops(&model, "copy") == 0 && count_ops(&model, "gelu_backward") == 0);
        }
        test_model_destroy(&model);
    }
}

static void check_stream(uint32_t stream, bool seen[64]) {
    CHECK(stream > 0 && stream < 64 && !seen[stream]);
    seen[stream % 64] = true;
}

/* Every random op of forward has a separate mask. */
static void streams_differ(void) {
    ModelOptions options = options_f64(2, 1, 0.3, NULL);
    TestModel model;
    bool seen[64] = {false};
    if (model_open(&options, &model)) {
        const Program *p = model.training->programs[MICRO_ONLY].program;
        int n_random = 0;
        for (int i = 0; i < p->n_nodes && strcmp(p->nodes[i]->op->name, "cross_entropy") != 0;
             i++) {
            const Node *node = p->nodes[i];
            bool drops = node->op == &dropout_op,
                 attends = strcmp(node_name(node), "attention_flash") == 0;
            if (drops) check_stream(((const DropoutAttrs *)node->attrs)->stream, seen);
            if (attends) check_stream(((const AttentionAttrs *)node->attrs)->call.stream, seen);
            n_random += drops + attends;
        }
        CHECK(n_random == 1 + 3 * 2);
    }
    test_model_destroy(&model);
}

static void padded_rows_stay_zero(void) {
    ModelOptions options = model_tiny();
    TestModel model;
    REQUIRE_OK(test_model_create(&options, &model));
    model_batch(&model, options.B, tokens, targets);
    StepState state = {.adam_step = 1, .lr = 1e-2f, .loss_scale = 1};
    for (int i = 0; i < 3; i++, state.step++, state.adam_step++)
        CHECK_OK(model_step(&model, state, tokens, targets));
    const Parameter *wte = model_parameter(&model, "wte.weight");
    for (int64_t i = 61 * 32; i < 64 * 32; i++)
        CHECK(model_get(wte->weight, i) == 0 && model_get(wte->grad, i) == 0);
    test_model_destroy(&model);
}

/* Without dropout, evaluation computes the same loss as training, and does not change weights and
 * gradients. */
static void evaluation_agrees(void) {
    ModelOptions options = options_f64(4, 1, 0, NULL);
    TestModel model;
    if (model_open(&options, &model)) {
        double before = model_loss(&model), loss,
               grad = model_get(model.parameters->grads->flat, 5);
        CHECK_OK(model_evaluate(&model, tokens, targets, &loss));
        CHECK_CLOSE(loss, before, 1e-14);
        CHECK(model_get(model.parameters->grads->flat, 5) == grad);
    }
    test_model_destroy(&model);
}

/* The loss scale scales gradients and the norm, but not the loss. */
static void loss_scale(void) {
    ModelOptions options = options_f64(2, 1, 0, NULL);
    TestModel model;
    if (model_open(&options, &model)) {
        StepState scaled = still;
        scaled.loss_scale = 1024;
        double loss = model_loss(&model), norm = model_norm(&model);
        CHECK_OK(model_step(&model, scaled, tokens, targets));
        CHECK(model_loss(&model) == loss);
        CHECK_CLOSE(model_norm(&model) / norm, 1024, 1e-12);
    }
    test_model_destroy(&model);
}

static void flops_of_gpt2(void) {
    Store *store = NULL;
    Parameters *parameters = NULL;
    Model *model = NULL;
    ModelConfig config = {
        MODEL_CONFIG_DEFAULTS, .V = 50257, .Vp = 50304, .T = 1024, .L = 12, .NH = 12, .C = 768};
    CHECK_OK(store_create(&store));
    CHECK_OK(parameters_create(store, DTYPE_F32, false, &parameters));
    CHECK_OK(model_create(&config, parameters, &model));
    CHECK(parameters_count(parameters) == 124439808); /* as Hugging Face counts it */
    const double products = 6.0 * (124439808 - 786432);
    CHECK_CLOSE(model_flops_per_token(model, parameters, NULL), products + 12.0 * 12 * 768 * 1024,
                1e-15);
    const LayerPattern windows = {.items = {128, 0, 4096}, .count = 3};
    CHECK_CLOSE(model_flops_per_token(model, parameters, &windows),
                products + 12.0 * 768 * (4 * 128 + 8 * 1024), 1e-15);
    model_destroy(&model);
    parameters_destroy(&parameters);
    store_destroy(&store);
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(gradients),
        TEST(gradients_with_dropout),
        TEST(gradients_in_chunks),
        TEST(gradients_with_documents),
        TEST(micro_batches_are_one_batch),
        TEST(backends_agree),
        TEST(chunks_agree),
        TEST(padded_rows_stay_zero),
        TEST(evaluation_agrees),
        TEST(recomputed_gradients_are_the_same),
        TEST(recomputing_costs_no_more_than_it_must),
        TEST(streams_differ),
        TEST(loss_scale),
        TEST(flops_of_gpt2),
    };
    return harness_run(argc, argv, "gpt", tests, COUNT(tests));
}
