/* exp_f32 and the GELU, which the kernels compute without a library call. */
#define REAL float
#define REAL_NAME f32
#include "core/cpu/gelu.h"
#include "tests/harness.h"

#include <float.h>
#include <stdio.h>

/* The error in units in the last place of the exact value. */
static double ulps(float got, long double exact) {
    float next = nextafterf(fabsf((float)exact), INFINITY);
    return (double)(fabsl((long double)got - exact) /
                    ((long double)next - fabsl((long double)(float)exact)));
}

static void exp_is_exact_to_two_ulps(void) {
    double worst = 0;
    for (double x = -87.29; x < 88.3; x += 1.37e-4)
        worst = fmax(worst, ulps(exp_f32((float)x), expl((float)x)));
    for (double x = 1e-30; x < 1; x *= 1.01) {
        worst = fmax(worst, ulps(exp_f32((float)x), expl((float)x)));
        worst = fmax(worst, ulps(exp_f32((float)-x), expl((float)-x)));
    }
    printf("%.2f ulp ", worst);
    CHECK(worst <= 2);
    CHECK(exp_f32(0) == 1 && exp_f32(-0.0f) == 1);
}

static void exp_at_the_ends(void) {
    CHECK(exp_f32(-INFINITY) == 0 && exp_f32(-FLT_MAX) == 0 && exp_f32(-87.31f) == 0 &&
          exp_f32(-87.29f) > 0);
    CHECK(isinf(exp_f32(INFINITY)) && isinf(exp_f32(FLT_MAX)) && isinf(exp_f32(89)));
    CHECK(isnan(exp_f32(NAN)) && isnan(exp_f32(-NAN)));
    for (float x = -100; x < 88; x += 0.01f) CHECK(exp_f32(x) <= exp_f32(x + 0.01f));
}

static long double gelu_exact(long double x) {
    return x / 2 * (1 + tanhl(sqrtl(2 / acosl(-1)) * (x + 0.044715L * x * x * x)));
}

static long double gelu_slope(long double x) {
    long double root = sqrtl(2 / acosl(-1)), t = tanhl(root * (x + 0.044715L * x * x * x));
    return (1 + t) / 2 + x / 2 * (1 - t * t) * root * (1 + 3 * 0.044715L * x * x);
}

static void gelu_by_the_formula(void) {
    double value = 0, slope = 0;
    for (float x = -12; x < 12; x += 0.00137f) {
        value =
            fmax(value, fabs((double)(gelu_value(x) - gelu_exact(x))) / fmax(1.0, fabs((double)x)));
        slope = fmax(slope, fabs((double)(gelu_derivative(x) - gelu_slope(x))));
    }
    printf("%.1e, slope %.1e ", value, slope);
    CHECK(value <= 3e-7 && slope <= 4e-6);
    CHECK(gelu_value(0) == 0 && gelu_derivative(0) == 0.5f);
}

static void gelu_far_out(void) {
    const float large[] = {20, 1e3f, 1e6f};
    for (size_t i = 0; i < COUNT(large); i++) {
        CHECK(gelu_value(large[i]) == large[i] && gelu_value(-large[i]) == 0);
        CHECK(gelu_derivative(large[i]) == 1 && gelu_derivative(-large[i]) == 0);
    }
    CHECK(isnan(gelu_value(NAN)) && isnan(gelu_derivative(NAN)));
}

static void ranges_cover_everything(void) {
    for (int64_t count = 0; count < 70; count++) {
        int64_t first, end, next = 0;
        for (int64_t part = 0; part < 16; part++) {
            range_part(count, 16, part, &first, &end);
            CHECK(first == next && end >= first && end - first <= count / 16 + 1);
            next = end;
        }
        CHECK(next == count);
    }
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(exp_is_exact_to_two_ulps), TEST(exp_at_the_ends),
                          TEST(gelu_by_the_formula), TEST(gelu_far_out),
                          TEST(ranges_cover_everything)};
    return harness_run(argc, argv, "elementary", tests, COUNT(tests));
}
