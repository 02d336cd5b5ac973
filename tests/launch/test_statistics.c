/* Quantiles against printed tables, intervals and fits against values that follow by hand, and the
 * uncertainty of a minimum against perturbed data. */
#include "core/rng.h"
#include "launch/study/statistics.h"
#include "tests/harness.h"

#include <math.h>

/* Abramowitz and Stegun, table 26.10, and R's qt. */
static void quantiles_are_those_of_the_tables(void) {
    CHECK_CLOSE(t_quantile(0.95, 1), 12.7062047, 1e-8);
    CHECK_CLOSE(t_quantile(0.95, 2), 4.30265273, 1e-8);
    CHECK_CLOSE(t_quantile(0.95, 5), 2.57058184, 1e-8);
    CHECK_CLOSE(t_quantile(0.99, 30), 2.74999565, 1e-8);
    CHECK_CLOSE(t_quantile(0.5, 3), 0.764892328, 1e-8);
    CHECK_CLOSE(t_quantile(0.95, 1000), 1.96233908, 1e-7);
    CHECK_CLOSE(t_quantile(0.95, INFINITY), 1.95996398, 1e-8);
    CHECK(isnan(t_quantile(0.95, 0)) && isnan(t_quantile(1, 3)) && isnan(t_quantile(0.95, NAN)));
    for (double freedom = 1; freedom < 3e5; freedom *= 3)
        CHECK_CLOSE(t_share(t_quantile(0.9, freedom), freedom), 0.9, 1e-9);
    CHECK_CLOSE(t_share(3, 2), 0.904534034, 1e-8);
}

static void means_have_intervals(void) {
    const double values[] = {1, 2, 3, 6}, shifted[] = {0.5, 1.75, 2.25, 5.5};
    Interval mean = mean_interval(values, 4), one = mean_interval(values, 1);
    CHECK_CLOSE(mean.value, 3, 1e-15);
    CHECK_CLOSE(mean.deviation, sqrt(14.0 / 3), 1e-15);
    CHECK_CLOSE(mean.half, 3.18244631 * sqrt(14.0 / 12), 1e-8);
    CHECK(one.value == 1 && isnan(one.half) && !interval_tells(&one));
    CHECK(isnan(mean_interval(values, 0).value));
    /* far narrower than the means' own intervals */
    Interval pairs = difference_interval(values, shifted, 4);
    CHECK_CLOSE(pairs.value, 0.5, 1e-15);
    CHECK_CLOSE(pairs.deviation, sqrt(0.125 / 3), 1e-14);
    CHECK(interval_tells(&pairs) && values_to_tell(&pairs) == 4);
}

static void the_values_that_would_tell_are_counted(void) {
    Interval difference = {.value = 0.004, .half = 0.011, .n = 3, .deviation = 0.0044};
    int n = values_to_tell(&difference);
    CHECK(t_quantile(0.95, n - 1) * 0.0044 / sqrt(n) < 0.004);
    CHECK(t_quantile(0.95, n - 2) * 0.0044 / sqrt(n - 1) >= 0.004);
    CHECK(n == 8);
    CHECK(values_to_tell(&(Interval){.value = 0, .deviation = 1}) == 0);
    CHECK(values_to_tell(&(Interval){.value = 1, .deviation = NAN}) == 0);
}

static void lines_are_fitted(void) {
    const double x[] = {0, 1, 2, 4}, y[] = {1.1, 1.4, 2.1, 2.9};
    LineFit fit = line_fit(x, y, 4), two = line_fit(x, y, 2);
    CHECK_CLOSE(fit.slope.value, 0.465714286, 1e-8);
    CHECK_CLOSE(fit.at, 1.875, 1e-15);
    CHECK_CLOSE(fit.slope.deviation, sqrt(0.0297142857 / 2 / 8.75), 1e-6);
    CHECK_CLOSE(fit.slope.half, 4.30265273 * fit.slope.deviation, 1e-8);
    CHECK_CLOSE(two.slope.value, 0.3, 1e-12);
    CHECK(isnan(two.slope.half) && isnan(line_fit(y, x, 1).slope.value));
}

/* Standard normal numbers, by Box and Muller. */
static double normal(uint64_t index) {
    Philox words = philox(7, index, 0);
    double u = 1 - rng_uniform(words.word[0]), v = rng_uniform(words.word[1]);
    return sqrt(-2 * log(u)) * cos(2 * 3.14159265358979 * v);
}

static void minima_are_found_with_their_uncertainty(void) {
    enum { POINTS = 4, DRAWS = 4000 };
    const double x[POINTS] = {-7.5, -6.8, -6.1, -5.2};
    double y[POINTS], sum = 0, squares = 0;
    for (int i = 0; i < POINTS; i++) y[i] = 3.2 + 0.05 * (x[i] + 6.4) * (x[i] + 6.4);
    ParabolaFit exact = parabola_fit(x, y, POINTS, 0.001, 16);
    CHECK_CLOSE(exact.at.value, -6.4, 1e-9);
    CHECK_CLOSE(exact.least, 3.2, 1e-9);
    CHECK_CLOSE(exact.curvature, 0.05, 1e-9);
    CHECK_CLOSE(exact.at.half, t_quantile(0.95, 16) * exact.at.deviation, 1e-12);
    for (uint64_t draw = 0; draw < DRAWS; draw++) {
        double noisy[POINTS];
        for (uint64_t i = 0; i < POINTS; i++) noisy[i] = y[i] + 0.001 * normal(draw * POINTS + i);
        double error = parabola_fit(x, noisy, POINTS, 0.001, 16).at.value + 6.4;
        sum += error, squares += error * error;
    }
    CHECK_CLOSE(sqrt(squares / DRAWS) / exact.at.deviation, 1, 0.05);
    CHECK(fabs(sum / DRAWS) < 0.1 * exact.at.deviation);
    for (int i = 0; i < POINTS; i++) y[i] = -y[i];
    CHECK(isnan(parabola_fit(x, y, POINTS, 0.001, 16).at.value));
    CHECK(isnan(parabola_fit(x, y, 2, 0.001, 16).at.value));
    const double same[] = {1, 1, 2};
    CHECK(isnan(parabola_fit(same, y, 3, 0.001, 16).at.value));
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(quantiles_are_those_of_the_tables),       TEST(means_have_intervals),
        TEST(the_values_that_would_tell_are_counted),  TEST(lines_are_fitted),
        TEST(minima_are_found_with_their_uncertainty),
    };
    return harness_run(argc, argv, "statistics", tests, COUNT(tests));
}
