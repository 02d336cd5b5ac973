/* Norms that write eight bits on a GPU against the same norm and a quantization of its result on
 * that GPU, to the bit; and against the CPU, but for neighbouring codes. */
#include "tests/gpu/float8_side_helper.h"

#include "core/convert.h"
#include "core/float8.h"
#include "core/ops/norm.h"
#include "core/ops/quantize.h"

#include <math.h>
#include <stdlib.h>

typedef struct NormCase {
    int64_t rows, C;
    NormKind kind;
    bool has_branch, has_gamma, has_beta, has_no_q, has_no_transposed;
    float scale_span; /* of values up to about 4 */
} NormCase;

/* Each number of packs of a row; ragged tiles; rows longer than registers hold; saturation; each
 * form of a norm; each layout alone. */
static const NormCase cases[] = {
    {16, 16, NORM_LAYER, true, true, true, false, false, 4},
    {80, 48, NORM_RMS, false, true, false, false, false, 4},
    {64, 272, NORM_LAYER, false, true, false, false, false, 1},
    {2048, 768, NORM_LAYER, true, true, true, false, false, 4},
    {112, 768, NORM_RMS, true, false, false, false, false, 0.5f},
    {144, 1024, NORM_LAYER, true, false, false, false, false, 4},
    {48, 1280, NORM_RMS, true, true, false, true, false, 4},
    {96, 1600, NORM_LAYER, true, true, true, false, true, 4},
    {64, 2048, NORM_RMS, false, false, false, false, false, 4},
    {48, 2064, NORM_LAYER, true, true, true, false, false, 1},
    {80, 4096, NORM_RMS, true, true, false, false, false, 4},
    {32, 5120, NORM_LAYER, false, false, false, true, false, 4},
};

typedef struct Normed {
    Tensor *sum, *mean, *rstd, *q, *transposed, *observed, *scale;
} Normed;

static Normed tensors_declare(Side *s, const NormCase *c) {
    int64_t rows = c->rows, C = c->C;
    Normed out = {.rstd = side_tensor(s, s->wide, 1, &rows),
                  .observed = side_tensor(s, s->integers, 1, (int64_t[]){OBSERVED_COUNT}),
                  .scale = side_tensor(s, s->wide, 1, (int64_t[]){1})};
    if (c->has_branch) out.sum = side_tensor(s, s->reals, 2, (int64_t[]){rows, C});
    if (c->kind == NORM_LAYER) out.mean = side_tensor(s, s->wide, 1, &rows);
    if (!c->has_no_q) out.q = side_tensor(s, s->codes[0], 2, (int64_t[]){rows, C});
    if (!c->has_no_transposed)
        out.transposed = side_tensor(s, s->codes[0], 2, (int64_t[]){C, rows});
    return out;
}

/* The norm that writes eight bits, or the norm and the quantization of its result. */
static Normed norm_run(Side *s, const NormCase *c, bool fuses) {
    Tensor *x = side_input(s, c->rows, c->C, 3), *branch = side_input(s, c->rows, c->C, 2),
           *gamma = side_input(s, 1, c->C, 2), *beta = side_input(s, 1, c->C, 1),
           *y = side_tensor(s, s->reals, 2, (int64_t[]){c->rows, c->C});
    Normed out = tensors_declare(s, c);
    NormAttrs attrs = {.options = {c->kind, 1e-5}};
    QuantizeAttrs values = {.values = QUANTIZE_X};
    const Op *op = c->kind == NORM_RMS ? &rmsnorm_op : &layernorm_op;
    Tensor *inputs[] = {x, c->has_branch ? branch : NULL, c->has_gamma ? gamma : NULL,
                        c->has_beta ? beta : NULL, fuses ? out.scale : NULL};
    Tensor *outputs[NORM_OUTPUTS] = {fuses ? NULL : y, out.sum, out.mean, out.rstd};
    if (fuses) {
        outputs[NORM_Q] = out.q, outputs[NORM_TRANSPOSED] = out.transposed;
        outputs[NORM_OBSERVED] = out.observed;
    }
    program_record(s->p, (Recording){op, &attrs, sizeof attrs, inputs, COUNT(inputs), outputs,
                                     NORM_OUTPUTS, NULL});
    if (!fuses)
        program_record(s->p, (Recording){&quantize_op, &values, sizeof values,
                                         TENSORS(y, out.scale, NULL),
                                         TENSORS(out.q, out.transposed, out.observed, NULL), NULL});
    if (!side_run(s)) return out;
    float scale = float8_scale(DTYPE_F8E4M3, c->scale_span);
    CHECK_OK(device_upload(s->device, out.scale, &scale));
    return out;
}

static void side_replay(Side *s) {
    CHECK_OK(device_replay(s->device, s->p));
    CHECK_OK(device_synchronize(s->device));
}

static int64_t difference(Side *a, const Tensor *x, Side *b, const Tensor *y) {
    return x == NULL ? 0 : side_difference(a, x, b, y);
}

static void same_bits(Side *a, const Normed *x, Side *b, const Normed *y) {
    CHECK(difference(a, x->sum, b, y->sum) == 0);
    CHECK(difference(a, x->mean, b, y->mean) == 0);
    CHECK(difference(a, x->rstd, b, y->rstd) == 0);
    CHECK(difference(a, x->q, b, y->q) == 0);
    CHECK(difference(a, x->transposed, b, y->transposed) == 0);
    CHECK(difference(a, x->observed, b, y->observed) == 0);
}

static void case_compare(const NormCase *c, DType dtype) {
    Side fused = {0}, apart = {0}, cpu = {0};
    if (side_open(&fused, side_gpu, dtype, false) && side_open(&apart, side_gpu, dtype, false) &&
        side_open(&cpu, side_cpu, DTYPE_F32, false)) {
        Normed got = norm_run(&fused, c, true), wanted = norm_run(&apart, c, false),
               far = norm_run(&cpu, c, true);
        side_replay(&fused), side_replay(&apart), side_replay(&cpu);
        same_bits(&fused, &got, &apart, &wanted);
        const Tensor *x = c->has_no_q ? got.transposed : got.q,
                     *y = c->has_no_q ? far.transposed : far.q;
        CHECK(side_difference(&fused, x, &cpu, y) <= tensor_count(x) / 8 + 1);
        CHECK(side_distance(&fused, x, &cpu, y) < 0.03);
        side_replay(&fused), side_replay(&apart); /* counts add up, the maximum stays */
        same_bits(&fused, &got, &apart, &wanted);
    }
    side_close(&fused);
    side_close(&apart);
    side_close(&cpu);
}

static void codes_are_those_of_norm_and_quantization(void) {
    if (side_is_skipped()) return;
    for (size_t i = 0; i < COUNT(cases); i++) {
        case_compare(&cases[i], DTYPE_BF16);
        case_compare(&cases[i], DTYPE_F32);
    }
}

/* A NaN makes the codes of its row NaN and no others; the maximum keeps it. */
static void not_finite_rows_stay_visible(void) {
    if (side_is_skipped()) return;
    const float bad[] = {NAN, INFINITY};
    const NormCase all[] = {{80, 768, NORM_LAYER, true, true, true, false, false, 4},
                            {48, 2064, NORM_RMS, true, true, false, false, false, 4}};
    for (size_t i = 0; i < COUNT(all) * COUNT(bad); i++) {
        const NormCase *c = &all[i / COUNT(bad)];
        Side s;
        if (!side_open(&s, side_gpu, DTYPE_BF16, false)) return;
        Normed out = norm_run(&s, c, true);
        uint16_t *raw = malloc(tensor_bytes(s.inputs[0]));
        uint32_t observed[OBSERVED_COUNT];
        CHECK_OK(device_download(s.device, raw, s.inputs[0]));
        real_store(raw, DTYPE_BF16, 17 * c->C + 5, (double)bad[i % COUNT(bad)]);
        CHECK_OK(device_upload(s.device, s.inputs[0], raw));
        side_replay(&s);
        double *q = side_values(&s, out.q), *turned = side_values(&s, out.transposed);
        CHECK_OK(device_download(s.device, observed, out.observed));
        int64_t wrong = 0;
        for (int64_t row = 0; row < c->rows; row++) {
            for (int64_t j = 0; j < c->C; j++)
                wrong += isnan(q[row * c->C + j]) != (row == 17) ||
                         isnan(turned[j * c->rows + row]) != (row == 17);
        }
        CHECK(wrong == 0 && observed[OBSERVED_LARGEST] >= 0x7F800000);
        free(raw);
        free(q);
        free(turned);
        side_close(&s);
    }
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(codes_are_those_of_norm_and_quantization),
                          TEST(not_finite_rows_stay_visible)};
    int code = harness_run(argc, argv, "norm_quantize_cuda", tests, COUNT(tests));
    device_close(&side_gpu);
    device_close(&side_cpu);
    return code;
}
