/* lr_scheduler in steps of a run: lengths in steps, tokens and shares, for stop rules in steps,
 * tokens and time, with clocks that stall and jump. */
#include "launch/run/run_schedule.h"
#include "tests/launch/config_texts.h"
#include "tests/launch/small_experiment.h"

#include <math.h>

#define AT(steps, seconds) ((RunPosition){.step = (steps), .train_s = (seconds)})

#define RUN(stop, schedule)                                                                        \
    "data: {train: t.bin}\ntraining: {stop: {" stop "}}\nlr_scheduler: {" schedule "}\n"

static void lengths_in_all_units(void) {
    static const struct {
        const char *text;
        double warmup, decay, steps;
    } cases[] = {
        {RUN("steps: 1000", "warmup: 20, decay: 700"), 20, 700, 1000},
        {RUN("steps: 1000", "warmup: 20 steps, decay: 1k"), 20, 1000, 1000},
        {RUN("steps: 1000", "warmup: 2%, decay: 100%"), 20, 1000, 1000},
        {RUN("steps: 1000", "warmup: 2560 tokens, decay: 25601 tokens"), 10, 101, 1000},
        {RUN("tokens: 25600", "warmup: 2%, decay: 60%"), 2, 60, 100},
        {RUN("tokens: 25601", "warmup: 0, decay: 100%"), 0, 101, 101},
        {RUN("tokens: 25600, steps: 50", "warmup: 10%, decay: 100%"), 5, 50, 50},
        {RUN("time: 10s", "warmup: 7, decay: 90"), 7, 90, RUN_STEPS_UNKNOWN},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        Config *config = LOAD(cases[i].text);
        if (config == NULL) continue;
        Experiment e = experiment_of(config);
        Schedule s = run_schedule(&e, AT(0, 0));
        CHECK_CLOSE(s.warmup, cases[i].warmup, 1e-12);
        CHECK_CLOSE(s.decay, cases[i].decay, 1e-12);
        CHECK(s.steps == cases[i].steps && s.shape == SCHEDULE_COSINE);
        config_destroy(&config);
    }
}

/* Before the first step the predicted time counts, later the mean. */
static void time_is_predicted_then_measured(void) {
    Config *config = LOAD(RUN("time: 60s", "shape: wsd, warmup: 2%, decay: 60%"));
    if (config == NULL) return;
    Experiment e = experiment_of(config);
    CHECK(run_steps(&e, AT(0, 0)) == RUN_STEPS_UNKNOWN && run_schedule_is_timed(config));
    e.planned.seconds[0] = 0.1;
    CHECK_CLOSE(run_steps(&e, AT(0, 0)), 600, 1e-12);
    CHECK_CLOSE(run_steps(&e, AT(100, 20)), 300, 1e-12);
    Schedule s = run_schedule(&e, AT(100, 20));
    CHECK_CLOSE(s.warmup, 6, 1e-12);
    CHECK_CLOSE(s.decay, 180, 1e-12);
    CHECK(s.shape == SCHEDULE_WSD && s.steps == 300);
    config_destroy(&config);
}

/* Seconds of a step: a slow start, a stall of a tenth of the budget, a clock that jumps, and steps
 * that become three times as fast. */
static double seconds_of(int64_t step) {
    if (step == 0) return 3;
    if (step == 150) return 6;
    if (step == 151) return 0;
    return step < 300 ? 0.1 : 0.033;
}

typedef struct TimedRun {
    double lr[4096], seconds;
    int64_t steps;
} TimedRun;

/* Runs until 60 s have passed; resumed at `resume` from the two values in its checkpoint. */
static void timed_run(const Experiment *e, int64_t resume, TimedRun *out) {
    double train_s = 0;
    int64_t step = 0;
    while (train_s < 60 && step < 4096) {
        Experiment again = *e;
        Schedule s = run_schedule(step >= resume ? &again : e, AT(step, train_s));
        out->lr[step] = schedule_lr(&s, step);
        train_s += seconds_of(step++);
    }
    out->steps = step;
    out->seconds = train_s;
}

static void a_schedule_ends_with_its_budget(void) {
    static TimedRun run, resumed;
    static const char *const texts[] = {
        RUN("time: 60s", "shape: wsd, warmup: 2%, decay: 60%, min_lr: 0"),
        RUN("time: 60s", "shape: linear, warmup: 2%, decay: 100%, min_lr: 0"),
        RUN("time: 60s", "shape: cosine, warmup: 2%, decay: 100%, min_lr: 0")};
    for (size_t i = 0; i < COUNT(texts); i++) {
        Config *config = LOAD(texts[i]);
        if (config == NULL) continue;
        double lr = config->optimizer.lr, last;
        Experiment e = experiment_of(config);
        timed_run(&e, 4096, &run);
        timed_run(&e, 200, &resumed);
        last = run.lr[run.steps - 1];
        CHECK(run.steps < 4096 && last >= 0 && last <= 0.02 * lr);
        CHECK(run.steps == resumed.steps && memcmp(run.lr, resumed.lr, sizeof run.lr) == 0);
        double most = 0;
        for (int64_t s = 0; s < run.steps; s++) most = fmax(most, run.lr[s]);
        CHECK(most >= 0.95 * lr && most <= lr);
        config_destroy(&config);
    }
}

/* 256 tokens a step up to `grows`, then 1024: the first step below the peak, and the fall a step.
 */
static void check_decay(const char *text, int64_t grows, int64_t end, int64_t first, double fall) {
    Config *config = LOAD(text);
    if (config == NULL) return;
    Experiment e = experiment_of(config);
    int64_t tokens = 0;
    for (int64_t step = 0; step < end; step++) {
        RunPosition at = {.step = step, .tokens = tokens};
        e.phase = step >= grows;
        Schedule s = run_schedule(&e, at);
        double wanted = step <= first ? 1 : 1 - fall * (double)(step - first);
        CHECK_CLOSE(schedule_lr(&s, step) / config->optimizer.lr, wanted, 1e-9);
        tokens += experiment_tokens_per_step(&e);
    }
    config_destroy(&config);
}

static void a_decay_is_that_long_before_the_end(void) {
#define GROWING(stop, from, decay)                                                                 \
    "data: {train: t.bin}\ntraining: {stop: {" stop "}, batch_schedule: [[0, 256], [" from         \
    ", 1024]]}\nlr_scheduler: {shape: wsd, warmup: 0, min_lr: 0, decay: " decay "}\n"
    check_decay(GROWING("tokens: 25600", "50%", "10"), 50, 63, 53, 0.1);
    check_decay(GROWING("tokens: 25600", "50", "10"), 50, 63, 53, 0.1);
    check_decay(GROWING("tokens: 25600", "12800 tokens", "10"), 50, 63, 53, 0.1);
    check_decay(GROWING("steps: 63", "50", "10240 tokens"), 50, 63, 53, 0.1);
    check_decay(GROWING("steps: 63", "50", "10"), 50, 63, 53, 0.1);
}

static void rates_follow_the_batch(void) {
    Config *config = LOAD(RUN(
        "steps: 10", "warmup: 1, decay: 10, min_lr: 1e-4") "optimizer: {lr: 1e-3, lr_reference: "
                                                           "{batch_tokens: 64, exponent: 0.5}}");
    if (config == NULL) return;
    Experiment e = experiment_of(config);
    Schedule s = run_schedule(&e, AT(0, 0));
    CHECK_CLOSE(s.lr, 2e-3, 1e-12);
    CHECK_CLOSE(s.min_lr, 2e-4, 1e-12);
    config_destroy(&config);
}

static void rates_are_said(void) {
    char text[256];
    Config *config =
        LOAD(RUN("steps: 10",
                 "warmup: 1, decay: 10") "optimizer: {lr: 1e-3, lr_reference: {batch_tokens: 64}, "
                                         "beta2_half_life: 256}");
    if (config == NULL) return;
    Experiment e = experiment_of(config);
    rates_remark(&e, text, sizeof text);
    CHECK(strcmp(text, "lr 0.002 and beta2 0.5000 for 256 tokens a step") == 0);
    config_destroy(&config);
    config = LOAD(LEAST);
    if (config == NULL) return;
    e = experiment_of(config);
    rates_remark(&e, text, sizeof text);
    CHECK(text[0] == '\0');
    config_destroy(&config);
}

static void remark_is(const char *text, double predicted, const char *wanted) {
    char remark[256];
    Config *config = load_text(text, NULL);
    if (config == NULL) return;
    Experiment e = experiment_of(config);
    e.planned.seconds[0] = predicted;
    schedule_remark(&e, remark, sizeof remark);
    CHECK(wanted == NULL ? remark[0] == '\0' : strstr(remark, wanted) != NULL);
    if (wanted != NULL && strstr(remark, wanted) == NULL) printf("\n    said: %s", remark);
    config_destroy(&config);
}

static void a_schedule_that_does_not_fit_is_said(void) {
    remark_is(RUN("steps: 100", "warmup: 2%, decay: 100%"), 0, NULL);
    remark_is(RUN("steps: 100", "warmup: 1M tokens, decay: 100%"), 0,
              "warmup: 3907 steps, but the");
    remark_is(RUN("steps: 100", "shape: linear, warmup: 1, decay: 101"), 0, "decay: 101 steps");
    remark_is(RUN("tokens: 25600", "shape: wsd, warmup: 50, decay: 60%"), 0,
              "warm-up of 50 steps and decay of 60, but the run ends after 100");
    remark_is(RUN("steps: 100", "warmup: 50%, decay: 5"), 0,
              "warmup: 50 steps, but lr_scheduler.decay ends after 5: the learning rate falls at");
    remark_is(RUN("steps: 100", "shape: linear, warmup: 21, decay: 20%"), 0, "ends after 20: ");
    remark_is(RUN("steps: 100", "warmup: 2560 tokens, decay: 10"), 0, NULL);
    remark_is(RUN("steps: 100", "shape: constant, warmup: 1"), 0, NULL);
    remark_is(RUN("time: 10s", "warmup: 200, decay: 300"), 0, NULL);
    remark_is(RUN("time: 10s", "warmup: 200, decay: 300"), 0.1, "but the run ends after 100");
    remark_is(RUN("time: 10s", "warmup: 2%, decay: 100%"), 0.1, NULL);
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(lengths_in_all_units),
                          TEST(time_is_predicted_then_measured),
                          TEST(a_schedule_ends_with_its_budget),
                          TEST(a_decay_is_that_long_before_the_end),
                          TEST(rates_follow_the_batch),
                          TEST(rates_are_said),
                          TEST(a_schedule_that_does_not_fit_is_said)};
    return harness_run(argc, argv, "schedules of runs", tests, COUNT(tests));
}
