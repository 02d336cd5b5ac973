/* The learning rate at every step against closed formulas. */
#include "nn/optim/schedule.h"
#include "tests/harness.h"

#include <math.h>

enum { STEPS = 200 };
static const double LR = 6e-4, MIN_LR = 6e-5;

static Schedule schedule_of(ScheduleShape shape, double warmup, double decay) {
    return (Schedule){shape, LR, MIN_LR, warmup, decay, STEPS};
}

/* The part of lr - min_lr that remains after the warm-up. */
static void check_shape(Schedule s, double (*remains)(const Schedule *s, double step)) {
    for (int64_t step = 0; step < STEPS + 20; step++) {
        double at = (double)step, wanted = MIN_LR + (LR - MIN_LR) * remains(&s, at);
        if (at < s.warmup) wanted = LR * (at + 1) / (s.warmup + 1);
        CHECK_CLOSE(schedule_lr(&s, step) / LR, wanted / LR, 1e-14);
    }
}

static double cosine_remains(const Schedule *s, double step) {
    double x = fmin(1, (step - s->warmup) / (s->decay - s->warmup)), c = cos(M_PI / 2 * x);
    return c * c;
}

static double linear_remains(const Schedule *s, double step) {
    return fmax(0, (s->decay - step) / (s->decay - s->warmup));
}

static double wsd_remains(const Schedule *s, double step) {
    return fmin(1, fmax(0, (s->steps - step) / s->decay));
}

static double all_remains(const Schedule *s, double step) {
    (void)s, (void)step;
    return 1;
}

static void cosine(void) {
    check_shape(schedule_of(SCHEDULE_COSINE, 4, 104), cosine_remains);
    check_shape(schedule_of(SCHEDULE_COSINE, 0, STEPS), cosine_remains);
    check_shape(schedule_of(SCHEDULE_COSINE, 3.5, 77.25), cosine_remains);
    const Schedule s = {.lr = 6e-4, .min_lr = 6e-5, .warmup = 4, .decay = 104};
    CHECK_CLOSE(schedule_lr(&s, 0) * 1e4, 6.0 / 5, 1e-12);
    CHECK_CLOSE(schedule_lr(&s, 3) * 1e4, 6.0 * 4 / 5, 1e-12);
    CHECK_CLOSE(schedule_lr(&s, 54) * 1e4, 3.3, 1e-12);
    CHECK_CLOSE(schedule_lr(&s, 29) * 1e4, 0.6 + 5.4 * (1 + sqrt(0.5)) / 2, 1e-12);
    CHECK(schedule_lr(&s, 104) == 6e-5 && schedule_lr(&s, 1000000) == 6e-5);
    for (int64_t step = 4; step < 104; step++)
        CHECK(schedule_lr(&s, step + 1) < schedule_lr(&s, step));
}

static void linear(void) {
    check_shape(schedule_of(SCHEDULE_LINEAR, 4, 104), linear_remains);
    check_shape(schedule_of(SCHEDULE_LINEAR, 0, STEPS), linear_remains);
}

static void wsd(void) {
    check_shape(schedule_of(SCHEDULE_WSD, 10, 120), wsd_remains);
    check_shape(schedule_of(SCHEDULE_WSD, 0, STEPS), wsd_remains);
    check_shape(schedule_of(SCHEDULE_WSD, 20, 0), wsd_remains);
    Schedule s = schedule_of(SCHEDULE_WSD, 10, 120);
    CHECK(schedule_lr(&s, 10) == LR && schedule_lr(&s, 80) == LR && schedule_lr(&s, 81) < LR);
    CHECK(schedule_lr(&s, STEPS) == MIN_LR);
}

static void constant(void) { check_shape(schedule_of(SCHEDULE_CONSTANT, 7, 1), all_remains); }

static void no_room_for_a_decay(void) {
    const Schedule none = {.lr = 1e-3, .min_lr = 1e-4, .warmup = 0, .decay = 0};
    CHECK(schedule_lr(&none, 0) == 1e-4);
    const Schedule late = {.lr = 1e-3, .min_lr = 1e-4, .warmup = 10, .decay = 5};
    CHECK(schedule_lr(&late, 9) < 1e-3 && schedule_lr(&late, 10) == 1e-4);
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(cosine), TEST(linear), TEST(wsd), TEST(constant),
                          TEST(no_room_for_a_decay)};
    return harness_run(argc, argv, "schedules", tests, COUNT(tests));
}
