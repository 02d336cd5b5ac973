/* Eight-bit operands and products on a GPU against the emulation on the CPU: the same codes, maxima
 * and counts from the same numbers; products within rounding; the same bits twice. */
#include "tests/harness.h"

#include "core/autodiff.h"
#include "core/bound_program.h"
#include "core/convert.h"
#include "core/ops/delayed_scale.h"
#include "core/ops/gelu.h"
#include "core/ops/linear_f8.h"
#include "core/passes/fuse_quantize.h"
#include "core/rng.h"
#include "core/step.h"
#include "core/store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TENSORS = 24 };

typedef struct Sizes {
    int64_t rows, K, N;
} Sizes;

/* Whole tiles, ragged tiles, one unit, and a layer of GPT-2. */
static const Sizes sizes[] = {{256, 128, 384}, {144, 80, 272}, {16, 16, 16}, {2048, 768, 3072}};

typedef struct Side {
    Device *device;
    DType dtype;
    Store *store;
    BoundProgram bound;
    Program *p;
    Section *reals, *wide, *integers, *codes[2], *state;
    Tensor *inputs[MAX_TENSORS];
    float spans[MAX_TENSORS];
    int n_inputs;
} Side;

static Device *cpu, *gpu;

/* Opens the devices; false, with a reason, without a GPU that has eight-bit products. */
static bool is_skipped(void) {
    if (gpu == NULL && device_count_cuda() > 0) CHECK_OK(device_open_cuda(0, &gpu));
    if (cpu == NULL) CHECK_OK(device_open_cpu(0, &cpu));
    if (gpu == NULL)
        harness_skip("no GPU");
    else if (gpu->target.sm < 89)
        harness_skip("the GPU has no eight-bit products");
    return gpu == NULL || gpu->target.sm < 89;
}

static bool side_open(Side *s, Device *device, DType dtype, bool trains) {
    *s = (Side){.device = device, .dtype = dtype};
    if (!CHECK_OK(store_create(&s->store)) ||
        !CHECK_OK(program_create(device->target, trains, &s->bound.program)))
        return false;
    s->p = s->bound.program;
    return CHECK_OK(store_section(s->store, "reals", BUFFER_INPUTS, dtype, &s->reals)) &&
           CHECK_OK(store_section(s->store, "wide", BUFFER_INPUTS, DTYPE_F32, &s->wide)) &&
           CHECK_OK(store_section(s->store, "integers", BUFFER_INPUTS, DTYPE_I32, &s->integers)) &&
           CHECK_OK(store_section(s->store, "state", BUFFER_INPUTS, DTYPE_U8, &s->state)) &&
           CHECK_OK(store_section(s->store, "e4m3", BUFFER_INPUTS, DTYPE_F8E4M3, &s->codes[0])) &&
           CHECK_OK(store_section(s->store, "e5m2", BUFFER_INPUTS, DTYPE_F8E5M2, &s->codes[1]));
}

static Tensor *declare(Side *s, Section *section, int n_dims, const int64_t *shape) {
    Tensor *t = NULL;
    char name[16];
    snprintf(name, sizeof name, "t%d", section->n_entries);
    program_check(s->p, section_add(s->store, section, name, n_dims, shape, &t));
    return t;
}

/* An input of uniform numbers in (-span, span), the same on both sides: exact in bf16. */
static Tensor *input(Side *s, int64_t rows, int64_t columns, float span) {
    Tensor *t = declare(s, s->reals, 2, (int64_t[]){rows, columns});
    s->spans[s->n_inputs] = span;
    return s->inputs[s->n_inputs++] = t;
}

static double drawn(int input, int64_t i, float span) {
    uint16_t half[4];
    double value =
        (double)(span * (2 * rng_uniform(philox(7, (uint64_t)i, (uint64_t)input).word[0]) - 1));
    real_store(half, DTYPE_BF16, 0, value);
    return real_load(half, DTYPE_BF16, 0);
}

static Status upload(Side *s, const Tensor *t, int input, float span) {
    void *raw = malloc(tensor_bytes(t));
    if (raw == NULL) return ERROR(STATUS_NO_ROOM, "out of memory");
    for (int64_t i = 0; i < tensor_count(t); i++)
        real_store(raw, t->dtype, i, drawn(input, i, span));
    Status status = device_upload(s->device, t, raw);
    free(raw);
    return status;
}

static bool side_run(Side *s) {
    bool good = CHECK_OK(program_status(s->p)) && CHECK_OK(bound_programs_plan(&s->bound, 1)) &&
                CHECK_OK(store_allocate(s->store, s->device)) &&
                CHECK_OK(bound_programs_bind(&s->bound, 1, s->device, "a test"));
    for (int i = 0; i < s->n_inputs && good; i++)
        good = CHECK_OK(upload(s, s->inputs[i], i, s->spans[i]));
    return good;
}

static void side_close(Side *s) {
    bound_programs_destroy(&s->bound, 1);
    store_destroy(&s->store);
}

static double *values_of(Side *s, const Tensor *t) {
    void *raw = malloc(tensor_bytes(t));
    double *values = malloc((size_t)tensor_count(t) * sizeof *values);
    CHECK_OK(device_download(s->device, raw, t));
    for (int64_t i = 0; i < tensor_count(t); i++) values[i] = real_load(raw, t->dtype, i);
    free(raw);
    return values;
}

/* |a - b| / |b| over all elements. */
static double distance(Side *a, const Tensor *x, Side *b, const Tensor *y) {
    double *got = values_of(a, x), *wanted = values_of(b, y), difference = 0, size = 0;
    for (int64_t i = 0; i < tensor_count(x); i++) {
        difference += pow(got[i] - wanted[i], 2);
        size += wanted[i] * wanted[i];
    }
    free(got);
    free(wanted);
    return size == 0 ? difference : sqrt(difference / size);
}

static int64_t bytes_that_differ(Side *a, const Tensor *x, Side *b, const Tensor *y) {
    size_t bytes = tensor_bytes(x);
    unsigned char *got = malloc(bytes), *wanted = malloc(bytes);
    int64_t count = 0;
    CHECK_OK(device_download(a->device, got, x));
    CHECK_OK(device_download(b->device, wanted, y));
    for (size_t i = 0; i < bytes; i++) count += got[i] != wanted[i];
    free(got);
    free(wanted);
    return count;
}

typedef struct Quantization {
    Tensor *q, *transposed, *observed, *sums, *scale;
} Quantization;

/* Quantizes x, or the gelu or the gradient of a gelu of x, into tensors of the store. */
static Quantization quantization_record(Side *s, Sizes z, QuantizeValues values, bool is_e5m2,
                                        float scale_span) {
    Section *codes = s->codes[is_e5m2];
    Tensor *x = input(s, z.rows, z.K, 3), *pre = input(s, z.rows, z.K, 4);
    Quantization out = {.q = declare(s, codes, 2, (int64_t[]){z.rows, z.K}),
                        .transposed = declare(s, codes, 2, (int64_t[]){z.K, z.rows}),
                        .observed = declare(s, s->integers, 1, (int64_t[]){OBSERVED_COUNT}),
                        .sums = declare(s, s->wide, 1, (int64_t[]){z.K}),
                        .scale = declare(s, s->wide, 1, (int64_t[]){1})};
    QuantizeAttrs attrs = {.values = values};
    bool is_gradient = values == QUANTIZE_GELU_GRADIENT;
    if (values == QUANTIZE_GELU) out.sums = NULL;
    program_record(s->p, (Recording){&quantize_op, &attrs, sizeof attrs,
                                     TENSORS(x, out.scale, is_gradient ? pre : NULL),
                                     TENSORS(out.q, out.transposed, out.observed, out.sums), NULL});
    if (!side_run(s)) return out;
    float scale = float8_scale(is_e5m2 ? DTYPE_F8E5M2 : DTYPE_F8E4M3, scale_span);
    CHECK_OK(device_upload(s->device, out.scale, &scale));
    CHECK_OK(device_replay(s->device, s->p));
    CHECK_OK(device_synchronize(s->device));
    return out;
}

/* A GELU in bf16 rounds before it is quantized, so a few codes are neighbours. */
static void quantization_compare(Sizes z, DType dtype, QuantizeValues values, bool is_e5m2,
                                 float scale_span) {
    Side a, b;
    if (side_open(&a, gpu, dtype, false) && side_open(&b, cpu, DTYPE_F32, false)) {
        Quantization got = quantization_record(&a, z, values, is_e5m2, scale_span),
                     wanted = quantization_record(&b, z, values, is_e5m2, scale_span);
        int64_t count = z.rows * z.K, most = values == QUANTIZE_X ? 0 : count / 8 + 1;
        CHECK(bytes_that_differ(&a, got.q, &b, wanted.q) <= most);
        CHECK(bytes_that_differ(&a, got.transposed, &b, wanted.transposed) <= most);
        CHECK(distance(&a, got.q, &b, wanted.q) < (values == QUANTIZE_X ? 1e-30 : 0.03));
        if (values == QUANTIZE_X)
            CHECK(bytes_that_differ(&a, got.observed, &b, wanted.observed) == 0);
        if (got.sums != NULL) CHECK(distance(&a, got.sums, &b, wanted.sums) < 0.01);
    }
    side_close(&a);
    side_close(&b);
}

static void codes_maxima_and_sums_are_those_of_the_cpu(void) {
    if (is_skipped()) return;
    const DType dtypes[] = {DTYPE_BF16, DTYPE_F32};
    for (size_t z = 0; z < COUNT(sizes); z++) {
        for (size_t d = 0; d < COUNT(dtypes); d++) {
            for (int e5m2 = 0; e5m2 < 2; e5m2++) {
                quantization_compare(sizes[z], dtypes[d], QUANTIZE_X, e5m2, 3);
                quantization_compare(sizes[z], dtypes[d], QUANTIZE_X, e5m2, 0.3f); /* saturates */
                quantization_compare(sizes[z], dtypes[d], QUANTIZE_GELU, e5m2, 3);
                quantization_compare(sizes[z], dtypes[d], QUANTIZE_GELU_GRADIENT, e5m2, 4);
            }
        }
    }
}

/* NaN and infinity become NaN at their places, and the maximum keeps them. */
static void not_finite_values_stay_visible(void) {
    if (is_skipped()) return;
    const float bad[] = {NAN, INFINITY, -INFINITY};
    Side s;
    Sizes z = {64, 64, 0};
    for (size_t k = 0; k < COUNT(bad); k++) {
        if (!side_open(&s, gpu, DTYPE_BF16, false)) return;
        Quantization out = quantization_record(&s, z, QUANTIZE_X, k == 1, 3);
        uint16_t *raw = malloc(tensor_bytes(s.inputs[0]));
        uint32_t observed[OBSERVED_COUNT];
        CHECK_OK(device_download(s.device, raw, s.inputs[0]));
        real_store(raw, DTYPE_BF16, 70, (double)bad[k]);
        CHECK_OK(device_upload(s.device, s.inputs[0], raw));
        CHECK_OK(device_replay(s.device, s.p));
        double *q = values_of(&s, out.q), *turned = values_of(&s, out.transposed);
        CHECK_OK(device_download(s.device, observed, out.observed));
        for (int64_t i = 0; i < z.rows * z.K; i++) CHECK(isnan(q[i]) == (i == 70));
        CHECK(isnan(turned[6 * z.rows + 1]) && observed[OBSERVED_LARGEST] >= 0x7F800000);
        free(raw);
        free(q);
        free(turned);
        side_close(&s);
    }
}

typedef struct Gradients {
    Tensor *y, *dx, *dw, *db;
} Gradients;

static Gradients layer_record(Side *s, Sizes z, const LinearF8 *layer) {
    Tensor *x = input(s, z.rows, z.K, 1), *w = input(s, z.N, z.K, 0.1f),
           *dy = input(s, z.rows, z.N, 1e-3f), *bias = declare(s, s->reals, 1, (int64_t[]){z.N});
    Gradients g = {.y = declare(s, s->reals, 2, (int64_t[]){z.rows, z.N}),
                   .dx = declare(s, s->reals, 2, (int64_t[]){z.rows, z.K}),
                   .dw = declare(s, s->wide, 2, (int64_t[]){z.N, z.K}),
                   .db = declare(s, s->wide, 1, (int64_t[]){z.N})};
    if (program_failed(s->p)) return g;
    x->needs_grad = w->needs_grad = bias->needs_grad = true;
    autodiff_watch(s->p, x, g.dx, false);
    autodiff_watch(s->p, w, g.dw, true); /* adds */
    autodiff_watch(s->p, bias, g.db, false);
    linear_f8_into(s->p, g.y, x, w, layer);
    linear_f8_gradient_record(s->p, dy, x, w, bias, layer);
    if (!side_run(s)) return g;
    CHECK_OK(upload(s, bias, 9, 1));
    CHECK_OK(upload(s, g.dw, 8, 0.01f));
    CHECK_OK(device_replay(s->device, s->p));
    CHECK_OK(device_synchronize(s->device));
    return g;
}

static void products_compare(Sizes z, DType dtype, LinearF8 layer) {
    Side a, b, c;
    if (side_open(&a, gpu, dtype, true) && side_open(&b, cpu, DTYPE_F32, true) &&
        side_open(&c, gpu, dtype, true)) {
        Gradients got = layer_record(&a, z, &layer), wanted = layer_record(&b, z, &layer),
                  again = layer_record(&c, z, &layer);
        double rounding = dtype == DTYPE_F32 ? 1e-5 : 4e-3, fast = layer.fast_forward ? 1e-2 : 1e-3;
        double errors[] = {distance(&a, got.y, &b, wanted.y), distance(&a, got.dx, &b, wanted.dx),
                           distance(&a, got.dw, &b, wanted.dw),
                           distance(&a, got.db, &b, wanted.db)};
        printf("%.1e %.1e %.1e %.1e | ", errors[0], errors[1], errors[2], errors[3]);
        CHECK(errors[0] < rounding + fast && errors[1] < rounding + fast);
        CHECK(errors[2] < 1e-5 + fast && errors[3] < 1e-4);
        CHECK(bytes_that_differ(&a, got.y, &c, again.y) == 0);
        CHECK(bytes_that_differ(&a, got.dx, &c, again.dx) == 0);
        CHECK(bytes_that_differ(&a, got.dw, &c, again.dw) == 0);
        CHECK(bytes_that_differ(&a, got.db, &c, again.db) == 0);
    }
    side_close(&a);
    side_close(&b);
    side_close(&c);
}

/* Fast accumulation keeps fewer bits than f32. */
static void products_and_gradients_are_those_of_the_cpu(void) {
    if (is_skipped()) return;
    for (size_t z = 0; z < COUNT(sizes); z++) {
        for (int kind = 0; kind < 4; kind++) {
            LinearF8 layer = {.x = {.dtype = DTYPE_F8E4M3},
                              .w = {.dtype = DTYPE_F8E4M3},
                              .dy = {.dtype = kind & 1 ? DTYPE_F8E5M2 : DTYPE_F8E4M3},
                              .forward = true,
                              .dx = true,
                              .dw = true,
                              .fast_forward = kind & 2,
                              .fast_gradient = kind & 2};
            products_compare(sizes[z], DTYPE_BF16, layer);
            products_compare(sizes[z], DTYPE_F32, layer);
        }
    }
}

/* The same history and observations give the same scales. */
static void scales_are_those_of_the_cpu(void) {
    if (is_skipped()) return;
    enum { RANKS = 2, S = 303, H = 4 };
    static uint32_t observed[RANKS * S * OBSERVED_COUNT], zeros[RANKS * S * OBSERVED_COUNT];
    static float history[H * S], scales[2][S], saturated[2];
    Device *devices[] = {gpu, cpu};
    for (int i = 0; i < RANKS * S; i++) {
        Philox w = philox(3, (uint64_t)i, 0);
        float size = ldexpf(rng_uniform(w.word[0]) + 0.1f, (int)(w.word[1] % 40) - 20);
        if (i % 17 == 0) size = NAN;
        if (i % 19 == 0) size = 0;
        memcpy(&observed[i * OBSERVED_COUNT], &size, sizeof size);
        observed[i * OBSERVED_COUNT + OBSERVED_SATURATED] = w.word[2] % 1000;
    }
    for (int d = 0; d < 2; d++) {
        Side s;
        if (!side_open(&s, devices[d], DTYPE_F32, false)) return;
        Tensor *o = declare(&s, s.integers, 3, (int64_t[]){RANKS, S, OBSERVED_COUNT}),
               *h = declare(&s, s.wide, 2, (int64_t[]){H, S}),
               *scale = declare(&s, s.wide, 1, (int64_t[]){S}),
               *share = declare(&s, s.wide, 1, (int64_t[]){1}),
               *state = declare(&s, s.state, 1, (int64_t[]){sizeof(StepState)});
        StepState step = {.step = 6};
        DelayedScaleAttrs attrs = {DTYPE_F8E4M3, DTYPE_F8E5M2, 1e6};
        delayed_scale_record(s.p, attrs, state, o, h, scale, share);
        for (int i = 0; i < H * S; i++) history[i] = ldexpf(1, i % 23 - 11);
        for (int i = 0; i < S; i++) scales[d][i] = 0.5f;
        if (side_run(&s)) {
            CHECK_OK(device_upload(s.device, state, &step));
            CHECK_OK(device_upload(s.device, o, observed));
            CHECK_OK(device_upload(s.device, h, history));
            CHECK_OK(device_upload(s.device, scale, scales[d]));
            CHECK_OK(device_replay(s.device, s.p));
            CHECK_OK(device_download(s.device, scales[d], scale));
            CHECK_OK(device_download(s.device, &saturated[d], share));
            CHECK_OK(device_download(s.device, zeros, o));
            for (size_t i = 0; i < COUNT(zeros); i++) CHECK(zeros[i] == 0);
        }
        side_close(&s);
    }
    CHECK(memcmp(scales[0], scales[1], sizeof scales[0]) == 0);
    CHECK(saturated[0] == saturated[1] && saturated[0] > 0);
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(codes_maxima_and_sums_are_those_of_the_cpu), TEST(not_finite_values_stay_visible),
        TEST(products_and_gradients_are_those_of_the_cpu), TEST(scales_are_those_of_the_cpu)};
    int code = harness_run(argc, argv, "float8_cuda", tests, COUNT(tests));
    device_close(&gpu);
    device_close(&cpu);
    return code;
}
