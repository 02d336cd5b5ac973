/* Quantization on the CPU against its definition, and the products against f64. */
#include "tests/core/quantize_helper.h"

#include "core/autodiff.h"
#include "core/float8.h"
#include "core/ops/copy.h"
#include "core/passes/fuse_quantize.h"

#include <math.h>
#include <string.h>

static void layouts_maxima_and_sums_by_the_definition(void) {
    Fixture f;
    if (fixture_open(&f, false)) {
        Tensor *scale = program_rows(f.p, f.scales, 0, 1);
        Float8Operand operand = {DTYPE_F8E4M3, scale, f.observed};
        Tensor *sums = program_view(f.p, f.db->buffer, f.db->offset, DTYPE_F32, 1, (int64_t[]){K});
        scale->n_dims = 1, scale->shape[0] = 1;
        Quantized q = quantize_record(f.p, f.x, &operand, (QuantizeWants){true, true, sums, true});
        quantize_record(f.p, f.x, &operand, (QuantizeWants){.q = true});
        if (fixture_bind(&f)) {
            fixture_fill(f.db, 9, 1);
            float before[K];
            memcpy(before, tensor_data(sums), sizeof before);
            CHECK_OK(device_replay(f.device, f.p));
            const float *x = tensor_data(f.x), *got = tensor_data(sums);
            const uint8_t *rows = tensor_data(q.q), *turned = tensor_data(q.transposed);
            float s = *(const float *)tensor_data(f.scales), largest = 0;
            uint32_t saturated = 0, observed[2];
            memcpy(observed, tensor_data(f.observed), sizeof observed);
            for (int k = 0; k < K; k++) {
                double sum = (double)before[k];
                for (int row = 0; row < ROWS; row++) {
                    float value = x[row * K + k];
                    CHECK(rows[row * K + k] == float8_from(DTYPE_F8E4M3, value / s));
                    CHECK(turned[k * ROWS + row] == rows[row * K + k]);
                    largest = fmaxf(largest, fabsf(value));
                    saturated += fabsf(value / s) > 448;
                    sum += (double)value;
                }
                CHECK_CLOSE((double)got[k], sum, 1e-5);
            }
            float kept;
            memcpy(&kept, &observed[OBSERVED_LARGEST], sizeof kept);
            CHECK(kept == largest && saturated > 0);
            CHECK(observed[OBSERVED_SATURATED] == 2 * saturated);
        }
    }
    fixture_close(&f);
}

static double value_of(DType dtype, const Tensor *t, int64_t i, float scale) {
    float value = ((const float *)tensor_data(t))[i];
    return (double)(float8_value(dtype, float8_from(dtype, value / scale)) * scale);
}

/* The three products equal those of the rounded operands. */
static void products_are_those_of_the_rounded_operands(void) {
    Fixture f;
    LinearF8 layer;
    if (fixture_open(&f, true)) {
        Tensor scales[3];
        layer = fixture_layer(&f, scales);
        f.x->needs_grad = f.w->needs_grad = f.bias->needs_grad = true;
        autodiff_watch(f.p, f.x, f.dx, false);
        autodiff_watch(f.p, f.w, f.dw, false);
        autodiff_watch(f.p, f.bias, f.db, false);
        Tensor *y = linear_f8_record(f.p, f.x, f.w, f.bias, &layer);
        autodiff_watch(f.p, y, f.dy, true);
        autodiff_run(f.p);
        copy_record(f.p, f.y, y, false);
        if (fixture_bind(&f)) {
            CHECK_OK(device_replay(f.device, f.p));
            const float *s = tensor_data(f.scales), *got = tensor_data(f.y),
                        *dx = tensor_data(f.dx), *dw = tensor_data(f.dw),
                        *bias = tensor_data(f.bias);
            for (int i = 0; i < ROWS; i += 7) {
                for (int n = 0; n < N; n += 5) {
                    double sum = (double)bias[n];
                    for (int k = 0; k < K; k++)
                        sum += value_of(DTYPE_F8E4M3, f.x, i * K + k, s[0]) *
                               value_of(DTYPE_F8E4M3, f.w, n * K + k, s[1]);
                    CHECK(fabs((double)got[i * N + n] - sum) < 1e-5);
                }
            }
            for (int i = 0; i < ROWS; i += 7) {
                for (int k = 0; k < K; k += 3) {
                    double sum = 0;
                    for (int n = 0; n < N; n++)
                        sum += value_of(DTYPE_F8E5M2, f.dy, i * N + n, s[2]) *
                               value_of(DTYPE_F8E4M3, f.w, n * K + k, s[1]);
                    CHECK(fabs((double)dx[i * K + k] - sum) < 1e-8);
                }
            }
            for (int n = 0; n < N; n += 5) {
                for (int k = 0; k < K; k += 3) {
                    double sum = 0;
                    for (int i = 0; i < ROWS; i++)
                        sum += value_of(DTYPE_F8E5M2, f.dy, i * N + n, s[2]) *
                               value_of(DTYPE_F8E4M3, f.x, i * K + k, s[0]);
                    CHECK(fabs((double)dw[n * K + k] - sum) < 1e-7);
                }
            }
        }
    }
    fixture_close(&f);
}

static void a_current_scale_is_that_of_the_tensor(void) {
    Fixture f;
    Float8Operand operand = {.dtype = DTYPE_F8E5M2};
    if (fixture_open(&f, false)) {
        Quantized q = quantize_record(f.p, f.x, &operand, (QuantizeWants){.q = true});
        quantize_fuse(f.p);
        CHECK(f.p->n_nodes == 2);
        if (fixture_bind(&f)) {
            CHECK_OK(device_replay(f.device, f.p));
            const float *x = tensor_data(f.x);
            float largest = 0;
            for (int i = 0; i < ROWS * K; i++) largest = fmaxf(largest, fabsf(x[i]));
            float scale = float8_scale(DTYPE_F8E5M2, largest);
            CHECK(*(const float *)tensor_data(q.scale) == scale);
            CHECK(*(const uint8_t *)tensor_data(q.q) == float8_from(DTYPE_F8E5M2, x[0] / scale));
            memset(tensor_data(f.x), 0, tensor_bytes(f.x));
            CHECK_OK(device_replay(f.device, f.p));
            CHECK(*(const float *)tensor_data(q.scale) == 1);
        }
    }
    fixture_close(&f);
}

/* An old GPU refuses in one line; a new one plans and predicts. */
static void old_gpus_are_refused(void) {
    const int sms[] = {80, 89, 90};
    for (size_t i = 0; i < COUNT(sms); i++) {
        Program *p = NULL;
        Target target = {.kind = DEVICE_CUDA, .sm = sms[i], .n_sms = 132};
        LinearF8 layer = {.x = {.dtype = DTYPE_F8E4M3}, .w = {.dtype = DTYPE_F8E4M3}};
        layer.forward = true;
        REQUIRE_OK(program_create(target, false, &p));
        Tensor *x = program_tensor(p, BUFFER_INPUTS, DTYPE_BF16, 2, (int64_t[]){ROWS, K});
        Tensor *w = program_tensor(p, BUFFER_INPUTS, DTYPE_BF16, 2, (int64_t[]){N, K});
        program_label(p, "h.3.mlp");
        Tensor *y = linear_f8_record(p, x, w, NULL, &layer);
        if (sms[i] < 89)
            CHECK_ERROR(program_status(p), STATUS_CONFIG, "h.3.mlp: float8_scale: no kernel");
        else
            CHECK(y != NULL && y->dtype == DTYPE_BF16 && !failed(program_status(p)));
        program_destroy(&p);
    }
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(layouts_maxima_and_sums_by_the_definition),
                          TEST(products_are_those_of_the_rounded_operands),
                          TEST(a_current_scale_is_that_of_the_tensor), TEST(old_gpus_are_refused)};
    return harness_run(argc, argv, "quantize", tests, COUNT(tests));
}
