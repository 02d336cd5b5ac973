/* Values that are not finite remain visible in an evaluation and in its records. */
#include "launch/config/config_load.h"
#include "launch/run/evaluation.h"
#include "launch/run/experiment_plan.h"
#include "launch/run/metrics.h"
#include "tests/harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { T = 8, TOKENS = 5 * T + 4 };

static const char text[] =
    "device: cpu\nthreads: 1\nname: nan\n"
    "model: {n_layer: 1, n_head: 2, n_embd: 16, block_size: 8, vocab_size: 64, pad_vocab: 1}\n"
    "data: {train: none, val: none, batch_size: 1}\ntraining: {stop: {steps: 1}}\nevaluation: "
    "{tokens: all}\n";

static const char *path_of(const char *name) {
    static const char *directory;
    static char path[4096];
    if (directory == NULL) directory = harness_directory();
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static Status tokens_write(const char *path, int64_t n) {
    uint16_t tokens[TOKENS];
    for (int i = 0; i < TOKENS; i++) tokens[i] = (uint16_t)(i % 50);
    FILE *file = fopen(path, "wb");
    bool good = file != NULL && fwrite(tokens, sizeof *tokens, (size_t)n, file) == (size_t)n;
    if (file != NULL) good = fclose(file) == 0 && good;
    return good ? OK : ERROR(STATUS_FAILURE, "%s: cannot write it", path);
}

static Status experiment_create(Experiment *e, Config **config, int64_t tokens, int64_t B) {
    char name[] = "nan", *arguments[] = {name, NULL}, **argv = arguments;
    int argc = 1;
    TRY(world_create(&argc, &argv, &e->world));
    TRY(config_load_text(text, "nan", 0, NULL, config));
    static const char *path;
    path = path_of("tokens.bin");
    (*config)->data.val = (TokenPaths){.count = 1, .items = &path};
    experiment_configure(e, *config);
    e->resolved.batch_size = B;
    TRY(tokens_write(path, tokens));
    TRY(experiment_open_device(e));
    TRY(experiment_open_data(e));
    TRY(experiment_record(e));
    TRY(experiment_allocate(e));
    return parameters_initialize(e->recorded.parameters, e->device, 7);
}

/* `last`: an element of the last position's embedding. */
static void evaluate(int64_t tokens, int64_t B, float last, Evaluation *out) {
    Experiment e = {.evaluates = true};
    Config *config = NULL;
    Evaluator *evaluator = NULL;
    REQUIRE_OK(experiment_create(&e, &config, tokens, B));
    int wpe = 0;
    while (strcmp(e.recorded.parameters->list[wpe]->name, "wpe.weight") != 0) wpe++;
    ((float *)tensor_data(e.recorded.parameters->list[wpe]->weight))[(T - 1) * 16 + 3] = last;
    REQUIRE_OK(evaluator_create(&e, &evaluator));
    REQUIRE_OK(evaluator_run(evaluator, out));
    evaluator_destroy(&evaluator);
    World *world = e.world;
    experiment_destroy(&e);
    config_destroy(&config);
    world_destroy(&world);
}

/* If a position embedding is NaN, so are the results of all windows that reach this position. */
static void windows_that_are_nan_make_the_mean_so(void) {
    for (int64_t B = 1; B <= 4; B++) {
        Evaluation result = {0};
        char details[96];
        evaluate(TOKENS, B, 0, &result);
        CHECK(isfinite(result.loss) && result.tokens == TOKENS - 1 && isfinite(result.std_error) &&
              isnan(result.bpb));
        evaluate(TOKENS, B, NAN, &result);
        CHECK(isnan(result.loss) && isnan(result.std_error));
        evaluation_details(&result, details, sizeof details);
        CHECK(strcmp(details, "") == 0);
    }
}

/* A window that ends before this position is not affected, although its row in the batch
 * continues. */
static void padding_reaches_nothing(void) {
    for (int64_t tokens = 2; tokens <= T; tokens++) {
        Evaluation clean = {0}, poisoned = {0};
        evaluate(tokens, 2, 0, &clean);
        evaluate(tokens, 2, NAN, &poisoned);
        CHECK(fabs(clean.loss - poisoned.loss) <= 1e-6 * clean.loss && clean.tokens == tokens - 1);
    }
}

static bool last_line_is(const char *path, const char *wanted) {
    char line[512] = "";
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) continue;
    if (file != NULL) fclose(file);
    if (strcmp(line, wanted) != 0) fprintf(stderr, "%s: %s, not %s", path, line, wanted);
    return strcmp(line, wanted) == 0;
}

/* JSON has no NaN, but null differs from a missing value. */
static void a_loss_is_recorded_whatever_it_is(bool is_evaluation, const char *json,
                                              const char *csv) {
    Metrics *metrics = NULL;
    Metric m = {.step = 3, .tokens = 12, .train_s = 1, .wall_s = 2, .mem_bytes = 5};
    m.is_evaluation = is_evaluation;
    m.train_loss = m.val_loss = m.val_stderr = m.val_bpb = m.lr = m.grad_norm = m.tok_per_s =
        m.mfu = m.fp8_saturated = m.noise_scale = m.joules = m.tok_per_joule = NAN;
    char directory[4096];
    snprintf(directory, sizeof directory, "%s", path_of(""));
    REQUIRE_OK(metrics_open(directory, (ResumedAt){0, -1}, &metrics));
    CHECK_OK(metrics_write(metrics, &m));
    metrics_close(&metrics);
    CHECK(last_line_is(path_of("metrics.jsonl"), json));
    CHECK(last_line_is(path_of("metrics.csv"), csv));
}

#define START "{\"step\": 3, \"tokens\": 12, \"train_s\": 1.0, \"wall_s\": 2.0, "

static void an_evaluation_is_recorded_whatever_it_gave(void) {
    a_loss_is_recorded_whatever_it_is(true, START "\"val/loss\": null, \"mem_bytes\": 5}\n",
                                      "3,12,1,2,,nan,,,,,,,,,,5\n");
}

static void a_step_is_recorded_whatever_it_gave(void) {
    a_loss_is_recorded_whatever_it_is(false, START "\"train/loss\": null, \"mem_bytes\": 5}\n",
                                      "3,12,1,2,nan,,,,,,,,,,,5\n");
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(windows_that_are_nan_make_the_mean_so),
        TEST(padding_reaches_nothing),
        TEST(an_evaluation_is_recorded_whatever_it_gave),
        TEST(a_step_is_recorded_whatever_it_gave),
    };
    return harness_run(argc, argv, "evaluation", tests, COUNT(tests));
}
