/* training.batch_schedule and attention.window as schedules: the phases of a run, in steps, tokens
 * and shares, and the tokens of their steps. */
#include "launch/run/run_schedule.h"
#include "tests/launch/config_texts.h"
#include "tests/launch/small_experiment.h"

#include <math.h>

#define RUN(stop, more)                                                                            \
    "data: {train: t.bin}\nmodel: {block_size: 32}\n"                                              \
    "training: {stop: {" stop "}}\n" more "\n"
#define BATCHES(stop, schedule, more)                                                              \
    "data: {train: t.bin}\nmodel: {block_size: 32}\n"                                              \
    "training: {batch_schedule: " schedule ", stop: {" stop "}}\n" more "\n"

static int phase_at(const Config *config, int64_t step, int64_t tokens, double train_s) {
    Phases phases = phases_of(config, 256);
    return phases_at(&phases, &config->training.stop, (RunPosition){step, tokens, train_s});
}

static void a_config_without_schedules_has_one_phase(void) {
    Config *config = LOAD(RUN("steps: 10", ""), "training.gradient_accumulation_steps=3");
    if (config == NULL) return;
    Phases phases = phases_of(config, 256);
    CHECK(phases.count == 1 && phases.list[0].accumulation == 3 && phases.list[0].windows == NULL);
    CHECK(phase_at(config, 10, 1000, 5) == 0 && !phases_are_timed(config));
    config_destroy(&config);
}

/* Each case: the first step of phases 1 and 2 of a run of 100 steps of 256 tokens. */
static void starts_in_all_units(void) {
    static const char *const texts[] = {
        BATCHES("steps: 100", "[[0, 256], [30, 512], [60 steps, 1k]]", ""),
        BATCHES("steps: 100", "[[0%, 256], [30%, 512], [60%, 1024]]", ""),
        BATCHES("tokens: 25600", "[[0, 256], [30%, 512], [60%, 1024]]", ""),
        BATCHES("time: 10s", "[[0, 256], [30%, 512], [60%, 1024]]", ""),
        BATCHES("time: 1h", "[[0, 256], [7680 tokens, 512], [15360 tokens, 1024]]", "")};
    for (size_t i = 0; i < COUNT(texts); i++) {
        Config *config = LOAD(texts[i]);
        if (config == NULL) continue;
        Phases phases = phases_of(config, 256);
        CHECK(phases.count == 3 && phases.list[0].accumulation == 1 &&
              phases.list[1].accumulation == 2 && phases.list[2].accumulation == 4);
        for (int64_t step = 0; step < 100; step++)
            CHECK(phase_at(config, step, 256 * step, (double)step / 10) == (step >= 60   ? 2
                                                                            : step >= 30 ? 1
                                                                                         : 0));
        CHECK(phases_are_timed(config) == (i == 3));
        config_destroy(&config);
    }
}

static void both_schedules_are_merged(void) {
    Config *config = LOAD(BATCHES("steps: 100", "[[0, 256], [50%, 512]]",
                                  "attention: {window: [[0, 8], [20%, [8, full]], [50%, 32]]}"));
    if (config == NULL) return;
    Phases phases = phases_of(config, 256);
    CHECK(phases.count == 3 && phases.from[1].percent == 20 && phases.from[2].percent == 50);
    CHECK(phases.list[0].accumulation == 1 && phases.list[1].accumulation == 1 &&
          phases.list[2].accumulation == 2);
    CHECK(layer_pattern_at(phases.list[0].windows, 1) == 8);
    CHECK(layer_pattern_at(phases.list[1].windows, 0) == 8 &&
          layer_pattern_at(phases.list[1].windows, 1) == 0);
    CHECK(layer_pattern_at(phases.list[2].windows, 0) == 32);
    CHECK(config->model.window.count == 1 && config->model.window.items[0] == 32);
    config_destroy(&config);
}

static void schedules_are_written_as_read(void) {
    Config *config = LOAD(BATCHES("steps: 100", "[[0, 131k], [10M tokens, 262144]]",
                                  "attention: {window: [[0, 8], [30M tokens, [8, full]]]}"));
    if (config == NULL) return;
    char *text = config_text(config);
    CHECK(strstr(text, "\n  window: [[0, 8], [30000000 tokens, [8, full]]]\n") != NULL);
    CHECK(strstr(text, "\n  batch_schedule: [[0, 131000], [10000000 tokens, 262144]]\n") != NULL);
    Config *again = LOAD(text);
    CHECK(again != NULL && again->model.window.count == 2 &&
          again->training.batch_schedule.tokens[1] == 262144);
    config_destroy(&again);
    free(text);
    config_destroy(&config);
}

static void tokens_become_whole_micro_batches(void) {
    Config *config = LOAD(BATCHES("steps: 100", "[[0, 131k], [30%, 262k]]", ""));
    if (config == NULL) return;
    ConfigBatchSchedule schedule = config->training.batch_schedule;
    CHECK_OK(batch_schedule_round(&schedule, 65536));
    CHECK(schedule.tokens[0] == 131072 && schedule.tokens[1] == 262144);
    CHECK_OK(batch_schedule_round(&schedule, 65536));
    CHECK(schedule.tokens[0] == 131072 && schedule.tokens[1] == 262144);
    CHECK(batch_schedule_round(&schedule, 100000).code == STATUS_CONFIG);
    CHECK(strstr(status_message(),
                 "test.yaml:3:33: error: 'training.batch_schedule' has 131072 tokens a step, but "
                 "ranks x data.batch_size x model.block_size is 100000, and the nearest multiple "
                 "100000; change one of them") != NULL);
    config_destroy(&config);
}

/* wsd over a run whose second half has twice the tokens a step: the learning rate follows the share
 * of the tokens, and the batch by its exponent. */
static void learning_rates_follow_tokens_and_batch(void) {
    Config *config =
        LOAD(BATCHES("tokens: 51200", "[[0, 256], [50%, 512]]",
                     "lr_scheduler: {shape: wsd, warmup: 0, decay: 80%, min_lr: 0}\n"
                     "optimizer: {lr: 1e-3, lr_reference: {batch_tokens: 256, exponent: 0.5}}"));
    if (config == NULL) return;
    Experiment e = experiment_of(config);
    Phases phases = experiment_phases(&e);
    RunPosition at = {0};
    while (run_share(&config->training.stop, at) < 1) {
        e.phase = phases_at(&phases, &config->training.stop, at);
        Schedule s = run_schedule(&e, at);
        double share = (double)at.tokens / 51200, scale = share < 0.5 ? 1 : sqrt(2);
        CHECK_CLOSE(schedule_lr(&s, at.step), 1e-3 * scale * fmin(1, (1 - share) / 0.8), 1e-9);
        at.tokens += experiment_tokens_per_step(&e);
        at.step++;
    }
    CHECK(at.step == 150 && at.tokens == 51200);
    config_destroy(&config);
}

static void phases_are_described(void) {
    char text[512];
    Config *config = LOAD(BATCHES("steps: 100", "[[0, 256], [25%, 512]]",
                                  "attention: {window: [[0, 8], [25%, [8, full]]]}\n"
                                  "optimizer: {lr_reference: {batch_tokens: 256}}"));
    if (config == NULL) return;
    Experiment e = experiment_of(config);
    e.planned.seconds[1] = 0.0125;
    phase_describe(&e, 0, text, sizeof text);
    CHECK(strcmp(text, "phase 1 of 2, from step 0: accumulation 1, 256 tokens a step, learning "
                       "rates x 1, window 8") == 0);
    phase_describe(&e, 1, text, sizeof text);
    CHECK(strcmp(text, "phase 2 of 2, from 25%: accumulation 2, 512 tokens a step, learning rates "
                       "x 1.41, windows 8 full, predicted 12.50 ms a step") == 0);
    phase_describe(&e, 1, text, 12);
    CHECK(strlen(text) <= 11 && strncmp(text, "phase 2 of 2", strlen(text)) == 0);
    config_destroy(&config);
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(a_config_without_schedules_has_one_phase),
                          TEST(starts_in_all_units),
                          TEST(both_schedules_are_merged),
                          TEST(schedules_are_written_as_read),
                          TEST(tokens_become_whole_micro_batches),
                          TEST(learning_rates_follow_tokens_and_batch),
                          TEST(phases_are_described)};
    return harness_run(argc, argv, "phases", tests, COUNT(tests));
}
