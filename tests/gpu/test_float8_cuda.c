/* Eight-bit operands and products on a GPU against the emulation on the CPU: the same codes, maxima
 * and counts from the same numbers; products within rounding; the same bits twice. */
#include "tests/gpu/float8_side_helper.h"

#include "core/autodiff.h"
#include "core/convert.h"
#include "core/ops/cross_entropy.h"
#include "core/ops/delayed_scale.h"
#include "core/ops/linear_f8.h"
#include "core/rng.h"
#include "core/step.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Sizes {
    int64_t rows, K, N;
} Sizes;

/* Whole tiles, ragged tiles, one unit, and a layer of GPT-2. */
static const Sizes sizes[] = {{256, 128, 384}, {144, 80, 272}, {16, 16, 16}, {2048, 768, 3072}};

typedef struct Quantization {
    Tensor *q, *transposed, *observed, *sums, *scale;
} Quantization;

/* Quantizes x, or an activation of x or its gradient, into tensors of the store. */
static Quantization quantization_record(Side *s, Sizes z, QuantizeValues values, bool is_e5m2,
                                        float scale_span) {
    Section *codes = s->codes[is_e5m2];
    Tensor *x = side_input(s, z.rows, z.K, 3), *pre = side_input(s, z.rows, z.K, 4);
    Quantization out = {.q = side_tensor(s, codes, 2, (int64_t[]){z.rows, z.K}),
                        .transposed = side_tensor(s, codes, 2, (int64_t[]){z.K, z.rows}),
                        .observed = side_tensor(s, s->integers, 1, (int64_t[]){OBSERVED_COUNT}),
                        .sums = side_tensor(s, s->wide, 1, (int64_t[]){z.K}),
                        .scale = side_tensor(s, s->wide, 1, (int64_t[]){1})};
    QuantizeAttrs attrs = {.values = values};
    bool is_gradient = values == QUANTIZE_GELU_GRADIENT || values == QUANTIZE_RELU2_GRADIENT;
    if (values == QUANTIZE_GELU || values == QUANTIZE_RELU2) out.sums = NULL;
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

/* An activation in bf16 rounds before it is quantized, so a few codes are neighbours: a share of
 * some 2^-5 of e4m3, of 2^-6 of e5m2, whose codes are twice as far apart. */
static void quantization_compare(Sizes z, DType dtype, QuantizeValues values, bool is_e5m2,
                                 float scale_span) {
    Side a = {0}, b = {0};
    if (side_open(&a, side_gpu, dtype, false) && side_open(&b, side_cpu, DTYPE_F32, false)) {
        Quantization got = quantization_record(&a, z, values, is_e5m2, scale_span),
                     wanted = quantization_record(&b, z, values, is_e5m2, scale_span);
        int64_t count = z.rows * z.K, most = values == QUANTIZE_X ? 0 : count / 8 + 1;
        CHECK(side_difference(&a, got.q, &b, wanted.q) <= most);
        CHECK(side_difference(&a, got.transposed, &b, wanted.transposed) <= most);
        double distance = is_e5m2 ? 0.06 : 0.03;
        CHECK(side_distance(&a, got.q, &b, wanted.q) < (values == QUANTIZE_X ? 1e-30 : distance));
        if (values == QUANTIZE_X)
            CHECK(side_difference(&a, got.observed, &b, wanted.observed) == 0);
        if (got.sums != NULL) CHECK(side_distance(&a, got.sums, &b, wanted.sums) < 0.01);
    }
    side_close(&a);
    side_close(&b);
}

static void codes_maxima_and_sums_are_those_of_the_cpu(void) {
    if (side_is_skipped()) return;
    const DType dtypes[] = {DTYPE_BF16, DTYPE_F32};
    for (size_t z = 0; z < COUNT(sizes); z++) {
        for (size_t d = 0; d < COUNT(dtypes); d++) {
            for (int e5m2 = 0; e5m2 < 2; e5m2++) {
                quantization_compare(sizes[z], dtypes[d], QUANTIZE_X, e5m2, 3);
                quantization_compare(sizes[z], dtypes[d], QUANTIZE_X, e5m2, 0.3f); /* saturates */
                quantization_compare(sizes[z], dtypes[d], QUANTIZE_GELU, e5m2, 3);
                quantization_compare(sizes[z], dtypes[d], QUANTIZE_GELU_GRADIENT, e5m2, 4);
                quantization_compare(sizes[z], dtypes[d], QUANTIZE_RELU2, e5m2, 9);
                quantization_compare(sizes[z], dtypes[d], QUANTIZE_RELU2_GRADIENT, e5m2, 24);
            }
        }
    }
}

/* NaN and infinity become NaN at their places, and the maximum keeps them. */
static void not_finite_values_stay_visible(void) {
    if (side_is_skipped()) return;
    const float bad[] = {NAN, INFINITY, -INFINITY};
    Side s;
    Sizes z = {64, 64, 0};
    for (size_t k = 0; k < COUNT(bad); k++) {
        if (!side_open(&s, side_gpu, DTYPE_BF16, false)) return;
        Quantization out = quantization_record(&s, z, QUANTIZE_X, k == 1, 3);
        uint16_t *raw = malloc(tensor_bytes(s.inputs[0]));
        uint32_t observed[OBSERVED_COUNT];
        CHECK_OK(device_download(s.device, raw, s.inputs[0]));
        real_store(raw, DTYPE_BF16, 70, (double)bad[k]);
        CHECK_OK(device_upload(s.device, s.inputs[0], raw));
        CHECK_OK(device_replay(s.device, s.p));
        double *q = side_values(&s, out.q), *turned = side_values(&s, out.transposed);
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
    Tensor *x = side_input(s, z.rows, z.K, 1), *w = side_input(s, z.N, z.K, 0.1f),
           *dy = side_input(s, z.rows, z.N, 1e-3f),
           *bias = side_tensor(s, s->reals, 1, (int64_t[]){z.N});
    Gradients g = {.y = side_tensor(s, s->reals, 2, (int64_t[]){z.rows, z.N}),
                   .dx = side_tensor(s, s->reals, 2, (int64_t[]){z.rows, z.K}),
                   .dw = side_tensor(s, s->wide, 2, (int64_t[]){z.N, z.K}),
                   .db = side_tensor(s, s->wide, 1, (int64_t[]){z.N})};
    if (program_failed(s->p)) return g;
    x->needs_grad = w->needs_grad = bias->needs_grad = true;
    autodiff_watch(s->p, x, g.dx, false);
    autodiff_watch(s->p, w, g.dw, true); /* adds */
    autodiff_watch(s->p, bias, g.db, false);
    linear_f8_into(s->p, g.y, x, w, layer);
    linear_f8_gradient_record(s->p, dy, x, w, bias, layer);
    if (!side_run(s)) return g;
    CHECK_OK(side_upload(s, bias, 9, 1));
    CHECK_OK(side_upload(s, g.dw, 8, 0.01f));
    CHECK_OK(device_replay(s->device, s->p));
    CHECK_OK(device_synchronize(s->device));
    return g;
}

static void products_compare(Sizes z, DType dtype, LinearF8 layer) {
    Side a = {0}, b = {0}, c = {0};
    if (side_open(&a, side_gpu, dtype, true) && side_open(&b, side_cpu, DTYPE_F32, true) &&
        side_open(&c, side_gpu, dtype, true)) {
        Gradients got = layer_record(&a, z, &layer), wanted = layer_record(&b, z, &layer),
                  again = layer_record(&c, z, &layer);
        double rounding = dtype == DTYPE_F32 ? 1e-5 : 4e-3, fast = layer.fast_forward ? 1e-2 : 1e-3;
        double errors[] = {
            side_distance(&a, got.y, &b, wanted.y), side_distance(&a, got.dx, &b, wanted.dx),
            side_distance(&a, got.dw, &b, wanted.dw), side_distance(&a, got.db, &b, wanted.db)};
        printf("%.1e %.1e %.1e %.1e | ", errors[0], errors[1], errors[2], errors[3]);
        CHECK(errors[0] < rounding + fast && errors[1] < rounding + fast);
        CHECK(errors[2] < 1e-5 + fast && errors[3] < 1e-4);
        CHECK(side_difference(&a, got.y, &c, again.y) == 0);
        CHECK(side_difference(&a, got.dx, &c, again.dx) == 0);
        CHECK(side_difference(&a, got.dw, &c, again.dw) == 0);
        CHECK(side_difference(&a, got.db, &c, again.db) == 0);
    }
    side_close(&a);
    side_close(&b);
    side_close(&c);
}

/* Fast accumulation keeps fewer bits than f32. */
static void products_and_gradients_are_those_of_the_cpu(void) {
    if (side_is_skipped()) return;
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

typedef struct Loss {
    Tensor *losses, *q, *transposed, *observed;
} Loss;

/* cross_entropy that writes eight bits, and the transposed codes. */
static Loss loss_record_at(Side *s, int64_t rows, int64_t V, int64_t Vp, double softcap) {
    Tensor *logits = side_input(s, rows, Vp, 4),
           *targets = side_tensor(s, s->integers, 1, (int64_t[]){rows}),
           *state = side_tensor(s, s->state, 1, (int64_t[]){sizeof(StepState)}),
           *scale = side_tensor(s, s->wide, 1, (int64_t[]){1});
    Loss out = {.losses = side_tensor(s, s->wide, 1, (int64_t[]){rows}),
                .q = side_tensor(s, s->codes[1], 2, (int64_t[]){rows, Vp}),
                .transposed = side_tensor(s, s->codes[1], 2, (int64_t[]){Vp, rows}),
                .observed = side_tensor(s, s->integers, 1, (int64_t[]){OBSERVED_COUNT})};
    CrossEntropyAttrs attrs = {
        .V = V, .scale = 1.0 / (double)rows, .softcap = softcap, .gradient = true};
    program_record(s->p, (Recording){&cross_entropy_op, &attrs, sizeof attrs,
                                     TENSORS(targets, state, scale),
                                     TENSORS(out.losses, logits, out.q, out.observed), NULL});
    float8_transpose_record(s->p, out.transposed, out.q);
    if (!side_run(s)) return out;
    StepState step = {.loss_scale = 1};
    float first = float8_scale(DTYPE_F8E5M2, 1.0f / (float)rows);
    int32_t *wanted = malloc(tensor_bytes(targets));
    for (int64_t i = 0; i < rows; i++)
        wanted[i] = i % 11 == 5 ? CROSS_ENTROPY_IGNORED : (int32_t)(i * 37 % V);
    CHECK_OK(device_upload(s->device, targets, wanted));
    CHECK_OK(device_upload(s->device, state, &step));
    CHECK_OK(device_upload(s->device, scale, &first));
    CHECK_OK(device_replay(s->device, s->p));
    CHECK_OK(device_synchronize(s->device));
    free(wanted);
    return out;
}

/* A short row, and one that a block keeps in registers. */
static void losses_and_their_codes_are_those_of_the_cpu(void) {
    if (side_is_skipped()) return;
    const int64_t widths[][2] = {{317, 320}, {9001, 9008}, {50257, 50304}};
    const DType dtypes[] = {DTYPE_BF16, DTYPE_F32};
    const double softcaps[] = {0, 5};
    for (size_t i = 0; i < COUNT(widths) * COUNT(dtypes) * COUNT(softcaps); i++) {
        Side a = {0}, b = {0};
        int64_t rows = 144, V = widths[i / 4][0], Vp = widths[i / 4][1];
        double softcap = softcaps[i / 2 % 2];
        if (side_open(&a, side_gpu, dtypes[i % 2], false) &&
            side_open(&b, side_cpu, DTYPE_F32, false)) {
            Loss got = loss_record_at(&a, rows, V, Vp, softcap),
                 wanted = loss_record_at(&b, rows, V, Vp, softcap);
            uint32_t largest[2][OBSERVED_COUNT];
            double *q = side_values(&a, got.q), *turned = side_values(&a, got.transposed);
            CHECK(side_distance(&a, got.losses, &b, wanted.losses) < 1e-3);
            CHECK(side_distance(&a, got.q, &b, wanted.q) < 0.02);
            CHECK(side_difference(&a, got.q, &b, wanted.q) <= rows * Vp / 8);
            for (int64_t k = 0; k < rows * Vp; k++) CHECK(turned[k % Vp * rows + k / Vp] == q[k]);
            for (int64_t k = 0; k < rows; k++) CHECK(q[k * Vp + V] == 0 && q[k * Vp + Vp - 1] == 0);
            CHECK_OK(device_download(side_gpu, largest[0], got.observed));
            CHECK_OK(device_download(side_cpu, largest[1], wanted.observed));
            CHECK(largest[0][0] >> 16 <= (largest[1][0] >> 16) + 1 &&
                  (largest[0][0] >> 16) + 1 >= largest[1][0] >> 16);
            free(q);
            free(turned);
        }
        side_close(&a);
        side_close(&b);
    }
}

/* The same history and observations give the same scales. */
static void scales_are_those_of_the_cpu(void) {
    if (side_is_skipped()) return;
    enum { RANKS = 2, S = 303, H = 4 };
    static uint32_t observed[RANKS * S * OBSERVED_COUNT], zeros[RANKS * S * OBSERVED_COUNT];
    static float history[H * S], scales[2][S * SCALE_STRIDE], saturated[2];
    Device *devices[] = {side_gpu, side_cpu};
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
        Tensor *o = side_tensor(&s, s.integers, 3, (int64_t[]){RANKS, S, OBSERVED_COUNT}),
               *h = side_tensor(&s, s.wide, 2, (int64_t[]){H, S}),
               *scale = side_tensor(&s, s.wide, 2, (int64_t[]){S, SCALE_STRIDE}),
               *share = side_tensor(&s, s.wide, 1, (int64_t[]){1}),
               *state = side_tensor(&s, s.state, 1, (int64_t[]){sizeof(StepState)});
        StepState step = {.step = 6};
        DelayedScaleAttrs attrs = {DTYPE_F8E4M3, DTYPE_F8E5M2, 1e6};
        delayed_scale_record(s.p, attrs, state, o, h, scale, share);
        for (int i = 0; i < H * S; i++) history[i] = ldexpf(1, i % 23 - 11);
        for (int i = 0; i < S * SCALE_STRIDE; i++) scales[d][i] = 0.5f;
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
        TEST(products_and_gradients_are_those_of_the_cpu),
        TEST(losses_and_their_codes_are_those_of_the_cpu), TEST(scales_are_those_of_the_cpu)};
    int code = harness_run(argc, argv, "float8_cuda", tests, COUNT(tests));
    device_close(&side_gpu);
    device_close(&side_cpu);
    return code;
}
