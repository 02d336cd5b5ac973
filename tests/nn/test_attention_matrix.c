/* Every CPU backend in both precisions, with every mask, head size and ragged length: its error
 * against f64 is at most twice that of math in the same precision, for outputs and gradients. Each
 * case has new inputs; outputs are NaN before. Takes half a minute. */
#include "core/step.h"
#include "tests/harness.h"
#include "tests/nn/attention_run_helper.h"

#include <math.h>
#include <stdio.h>

static const StepState step = {.seed = 11, .step = 6, .first_sample = 3, .loss_scale = 1};
static const char *const others[] = {"baseline", "mem_efficient", "flash"};
static const char *const outputs[] = {"out", "lse", "dq", "dk", "dv", "dbias"};
static Device *device;

#if defined(__SANITIZE_ADDRESS__)
enum {
    EVERY = 7,
    LONG_EVERY = 30
}; /* number of cases: the sanitizers are slow, and test other properties */
#else
enum { EVERY = 1, LONG_EVERY = 1 };
#endif

typedef struct Mask {
    const char *name;
    CausalMask causal;
    int64_t window;
    ShapeRanges ranges;
    BiasKind bias;
    const char *bias_dims;
    bool square; /* only for Tq = Tk */
} Mask;

#define UPPER .causal = CAUSAL_UPPER_LEFT
#define LOWER .causal = CAUSAL_LOWER_RIGHT
static const Mask masks[] = {
    {.name = "none"},
    {"upper_left", UPPER},
    {"lower_right", LOWER},
    {"window, upper_left", UPPER, .window = 20},
    {"window, lower_right", LOWER, .window = 33},
    {"lengths", .ranges = SHAPE_LENGTHS},
    {"lengths, upper_left", UPPER, .ranges = SHAPE_LENGTHS},
    {"packed", .ranges = SHAPE_PACKED},
    {"packed, upper_left", UPPER, .ranges = SHAPE_PACKED},
    {"packed, lower_right", LOWER, .ranges = SHAPE_PACKED},
    {"packed, window", LOWER, .window = 5, .ranges = SHAPE_PACKED},
    {"documents", UPPER, .ranges = SHAPE_DOCUMENTS, .square = true},
    {"boolean", .bias = BIAS_BOOLEAN},
    {"boolean a head, upper_left", UPPER, .bias = BIAS_BOOLEAN, .bias_dims = "hq"},
    {"additive", .bias = BIAS_ADDITIVE},
    {"additive for all, lower_right", LOWER, .bias = BIAS_ADDITIVE, .bias_dims = "q"},
    {"additive a key, lengths", .bias = BIAS_ADDITIVE, .bias_dims = "b", .ranges = SHAPE_LENGTHS},
};
static const int64_t head_sizes[] = {5, 32, 64, 80, 96, 128, 256};

static AttentionShape shape_of(const Mask *mask, int64_t Tq, int64_t HS, unsigned seed) {
    const int64_t lengths[] = {Tq, Tq + 37, Tq > 37 ? Tq - 37 : 1};
    return (AttentionShape){
        SIZES(mask->ranges == SHAPE_ALL || Tq >= 1000 ? 1 : 2, 2, 1 + (int64_t)(seed % 2), Tq,
              mask->square ? Tq : lengths[seed % 3], HS),
        .causal = mask->causal,
        .window = mask->window,
        .dropout = seed % 4 == 1 ? 0.2 : 0,
        .head_major = seed % 5 == 0,
        .ranges = mask->ranges,
        .segments = 2 + (int)(Tq / 40),
        .bias = mask->bias,
        .bias_dims = mask->bias_dims,
        .seed = seed,
    };
}

static bool run(const char *name, const AttentionShape *shape, const AttentionCall *call,
                double magnitude, AttentionData *out) {
    return attention_data_create(shape, call, magnitude, out) &&
           CHECK_OK(attention_by(attention_backend(name), call, device, &step, out));
}

/* The effect of one unit in the last place of the products on an output that is their difference,
 * such as the gradients of a query that sees one key, whose sum is zero. */
static double cancelled(const AttentionCall *call, int which, double magnitude) {
    double products = magnitude * magnitude * sqrt((double)call->HS);
    if (which == ATT_DBIAS) return products * sqrt((double)(call->B * call->NH * call->Tq));
    if (which == ATT_DQ || which == ATT_DK) return products * magnitude * (double)call->scale;
    return which == ATT_LSE ? 1 : magnitude;
}

/* The error of each output against f64: root mean squares, summed over calls. */
typedef struct Errors {
    double squares[ATT_TENSORS];
} Errors;

static void errors_add(Errors *errors, const AttentionCall *call, double magnitude,
                       const AttentionData *got, const AttentionData *wanted) {
    for (int which = ATT_OUT; which < ATT_TENSORS; which++) {
        double size, error = attention_error(got, wanted, which, &size);
        error /= size + cancelled(call, which, magnitude);
        errors->squares[which] += error * error;
    }
}

/* The largest error as a multiple of the limit; above 1 fails. */
static double errors_share(const char *name, const Errors *errors, const Errors *math,
                           DType dtype) {
    double unit = dtype == DTYPE_F64 ? 0x1p-52 : 0x1p-23, worst = 0;
    for (int which = ATT_OUT; which < ATT_TENSORS; which++) {
        double error = sqrt(errors->squares[which]), of_math = sqrt(math->squares[which]);
        double share = error / (2 * of_math + unit);
        if (!(share <= 1))
            printf("\n    %s, %s: %.1e, math's is %.1e", name, outputs[which - ATT_OUT], error,
                   of_math);
        worst = share <= worst ? worst : share;
    }
    return worst;
}

typedef struct Comparison {
    Errors math, others[COUNT(others)];
} Comparison;

static void compare_one(const AttentionShape *shape, DType dtype, double magnitude,
                        const AttentionData *wanted, Comparison *to) {
    AttentionCall call = attention_call_of(*shape, dtype);
    AttentionData got;
    if (run("math", shape, &call, magnitude, &got))
        errors_add(&to->math, &call, magnitude, &got, wanted);
    attention_data_destroy(&got);
    for (size_t k = 0; k < COUNT(others); k++) {
        if (attention_refusal(attention_backend(others[k]), &call, &device->target) != NULL)
            continue;
        if (run(others[k], shape, &call, magnitude, &got)) {
            errors_add(&to->others[k], &call, magnitude, &got, wanted);
        }
        attention_data_destroy(&got);
    }
}

/* All inputs are f32 numbers, so one reference serves both precisions: to[DTYPE_F32],
 * to[DTYPE_F64]. */
static void compare(const AttentionShape *shape, double magnitude, DType last, Comparison *to) {
    AttentionCall call = attention_call_of(*shape, DTYPE_F64);
    AttentionData wanted;
    if (attention_data_create(shape, &call, magnitude, &wanted)) {
        attention_reference(&call, &step, &wanted);
        for (int dtype = DTYPE_F32; dtype <= (int)last; dtype++) {
            compare_one(shape, (DType)dtype, magnitude, &wanted, &to[dtype]);
        }
    }
    attention_data_destroy(&wanted);
}

/* At most twice the error of math; and math itself, the baseline, must be near f64. */
static double comparison_worst(const Comparison *c, DType dtype, double magnitude) {
    double unit = dtype == DTYPE_F64 ? 0x1p-52 : 0x1p-23, worst = 0;
    for (int which = ATT_OUT; which < ATT_TENSORS; which++) {
        double share = sqrt(c->math.squares[which]) / (unit * 10 * magnitude * magnitude);
        worst = share <= worst ? worst : share;
    }
    for (size_t k = 0; k < COUNT(others); k++) {
        double share = errors_share(others[k], &c->others[k], &c->math, dtype);
        worst = share <= worst ? worst : share;
    }
    return worst;
}

static void check_case(const Mask *mask, int64_t Tq, int64_t HS, unsigned seed) {
    AttentionShape shape = shape_of(mask, Tq, HS, seed);
    Comparison comparisons[2] = {0};
    compare(&shape, 1, DTYPE_F64, comparisons);
    for (int dtype = DTYPE_F32; dtype <= DTYPE_F64; dtype++) {
        double worst = comparison_worst(&comparisons[dtype], (DType)dtype, 1);
        CHECK(worst <= 1);
        if (!(worst <= 1)) {
            printf("\n    %s, %s, Tq=%lld Tk=%lld HS=%lld seed=%u: %.2f", mask->name,
                   dtype_name((DType)dtype), (long long)shape.Tq, (long long)shape.Tk,
                   (long long)HS, seed, worst);
        }
    }
}

static void check_length(int64_t Tq) {
    unsigned seed = (unsigned)Tq;
    for (size_t m = 0; m < COUNT(masks); m++) {
        for (size_t k = (m + (size_t)Tq) % 3; k < COUNT(head_sizes); k += 3) {
            if (seed++ % EVERY == 0) check_case(&masks[m], Tq, head_sizes[k], seed);
        }
    }
}

static void one_token(void) { check_length(1); }
static void length_63(void) { check_length(63); }
static void length_64(void) { check_length(64); }
static void length_65(void) { check_length(65); }
static void length_127(void) { check_length(127); }

static void length_1000(void) {
    for (unsigned m = 0; m < COUNT(masks); m += LONG_EVERY)
        check_case(&masks[m], 1000, head_sizes[m % 3], m);
}

static void length_1024(void) {
    if (LONG_EVERY == 1) check_case(&masks[1], 1024, 64, 3);
}

/* Scores up to thousands, for which the last place of a score decides between nearly equal keys.
 * The error of one call is random, so the errors of many are compared. */
static void growing_magnitudes(void) {
    for (double magnitude = 2; magnitude <= 32; magnitude *= 2) {
        Comparison comparison = {0};
        for (unsigned m = 0; m < 2 * COUNT(masks); m += EVERY) {
            AttentionShape shape = shape_of(&masks[m / 2], 150, m % 2 == 0 ? 64 : 32, m);
            compare(&shape, magnitude, DTYPE_F32, &comparison);
        }
        double worst = comparison_worst(&comparison, DTYPE_F32, magnitude);
        CHECK(worst <= 1);
        printf("%.2f ", worst);
    }
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(one_token),  TEST(length_63),   TEST(length_64),   TEST(length_65),
        TEST(length_127), TEST(length_1000), TEST(length_1024), TEST(growing_magnitudes),
    };
    if (failed(device_open_cpu(1, &device))) return 1;
    int code = harness_run(argc, argv, "attention_matrix", tests, COUNT(tests));
    device_close(&device);
    return code;
}
