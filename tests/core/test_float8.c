/* f8e4m3 and f8e5m2 against the definition of the formats: all codes, all halfway points. */
#include "core/convert.h"
#include "tests/harness.h"

#include <float.h>
#include <math.h>

typedef struct Format {
    DType dtype;
    int exponent_bits, mantissa_bits;
    double largest;
} Format;

static const Format formats[] = {{DTYPE_F8E4M3, 4, 3, 448}, {DTYPE_F8E5M2, 5, 2, 57344}};
enum { FORMATS = sizeof formats / sizeof formats[0] };

/* The value of a code by the definition: (-1)^s 2^(e - bias) (1 + m / 2^bits). */
static double defined(const Format *f, int code) {
    int mantissa = code & ((1 << f->mantissa_bits) - 1), last = (1 << f->exponent_bits) - 1;
    int exponent = code >> f->mantissa_bits & last, bias = last / 2;
    double fraction = (double)mantissa / (1 << f->mantissa_bits);
    double size = exponent == 0 ? ldexp(fraction, 1 - bias) : ldexp(1 + fraction, exponent - bias);
    if (f->dtype == DTYPE_F8E4M3 && (code & 0x7F) == 0x7F) size = NAN;
    if (f->dtype == DTYPE_F8E5M2 && exponent == last) size = mantissa == 0 ? INFINITY : NAN;
    return code & 0x80 ? -size : size;
}

static void every_code_has_its_value(void) {
    for (int i = 0; i < FORMATS; i++) {
        for (int code = 0; code < 256; code++) {
            double value = (double)float8_value(formats[i].dtype, (uint8_t)code),
                   wanted = defined(&formats[i], code);
            CHECK(isnan(wanted) ? isnan(value)
                                : value == wanted && !signbit(value) == !signbit(wanted));
        }
    }
}

static void every_value_has_its_code(void) {
    for (int i = 0; i < FORMATS; i++) {
        for (int code = 0; code < 256; code++) {
            double value = defined(&formats[i], code);
            if (isfinite(value)) CHECK(float8_from(formats[i].dtype, (float)value) == code);
        }
    }
}

/* Between neighbours a value rounds to the nearer one, and halfway to the even code. */
static void values_between_round_to_nearest_even(void) {
    for (int i = 0; i < FORMATS; i++) {
        const Format *f = &formats[i];
        for (int code = 0; defined(f, code) < f->largest; code++) {
            float low = (float)defined(f, code), high = (float)defined(f, code + 1);
            float middle = (low + high) / 2;
            int even = code % 2 == 0 ? code : code + 1;
            CHECK(float8_from(f->dtype, middle) == even);
            CHECK(float8_from(f->dtype, -middle) == (even | 0x80));
            CHECK(float8_from(f->dtype, nextafterf(middle, 0)) == code);
            CHECK(float8_from(f->dtype, nextafterf(middle, INFINITY)) == code + 1);
        }
    }
}

static void values_beyond_the_largest_saturate(void) {
    const float beyond[] = {1.0001f, 1.06f, 1.5f, 1e10f};
    for (int i = 0; i < FORMATS; i++) {
        const Format *f = &formats[i];
        for (size_t k = 0; k < sizeof beyond / sizeof beyond[0]; k++) {
            uint8_t code = float8_from(f->dtype, (float)f->largest * beyond[k]);
            CHECK((double)float8_value(f->dtype, code) == f->largest);
        }
        CHECK((double)float8_value(f->dtype, float8_from(f->dtype, -FLT_MAX)) == -f->largest);
    }
}

static void nan_and_infinity_become_nan(void) {
    for (int i = 0; i < FORMATS; i++) {
        DType dtype = formats[i].dtype;
        const float values[] = {NAN, -NAN, INFINITY, -INFINITY};
        for (int k = 0; k < 4; k++)
            CHECK(isnan(float8_value(dtype, float8_from(dtype, values[k]))));
        CHECK(float8_from(dtype, 0.0f) == 0 && float8_from(dtype, -0.0f) == 0x80);
        CHECK(float8_from(dtype, FLT_TRUE_MIN) == 0);
    }
}

static void conversions_of_one_element_agree(void) {
    _Alignas(double) uint8_t storage[sizeof(double)];
    uint8_t *code = storage;
    for (int i = 0; i < FORMATS; i++) {
        DType dtype = formats[i].dtype;
        CHECK(dtype_size(dtype) == 1);
        for (double x = -3; x < 3; x += 0.0137) {
            real_store(code, dtype, 0, x);
            CHECK(*code == float8_from(dtype, (float)x));
            CHECK(real_load(code, dtype, 0) == (double)float8_value(dtype, *code));
        }
    }
}

static void scales_are_the_smallest_powers_of_two(void) {
    for (int i = 0; i < FORMATS; i++) {
        double largest = formats[i].largest;
        for (double x = 1e-12; x < 1e12; x *= 1.37) {
            double scale = (double)float8_scale(formats[i].dtype, (float)x);
            int exponent;
            CHECK(frexp(scale, &exponent) == 0.5);
            CHECK((double)(float)x / scale <= largest && (double)(float)x / scale > largest / 2);
        }
        CHECK((double)float8_scale(formats[i].dtype, (float)largest) == 1);
        CHECK(float8_scale(formats[i].dtype, FLT_TRUE_MIN) == 0x1p-100f);
        CHECK(float8_scale(formats[i].dtype, FLT_MAX) == 0x1p100f);
    }
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(every_code_has_its_value),
                          TEST(every_value_has_its_code),
                          TEST(values_between_round_to_nearest_even),
                          TEST(values_beyond_the_largest_saturate),
                          TEST(nan_and_infinity_become_nan),
                          TEST(conversions_of_one_element_agree),
                          TEST(scales_are_the_smallest_powers_of_two)};
    return harness_run(argc, argv, "float8", tests, COUNT(tests));
}
