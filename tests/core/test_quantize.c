/* Quantization on the CPU against its definition, the products against f64, and the fusions, which
 * change no bit. */
#include "tests/harness.h"

#include "core/autodiff.h"
#include "core/bound_program.h"
#include "core/float8.h"
#include "core/ops/copy.h"
#include "core/ops/cross_entropy.h"
#include "core/ops/gelu.h"
#include "core/ops/linear_f8.h"
#include "core/ops/relu2.h"
#include "core/passes/fuse_quantize.h"
#include "core/rng.h"
#include "core/step.h"
#include "core/store.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ROWS = 48, K = 32, N = 64 };

typedef struct Fixture {
    Device *device;
    Store *store;
    BoundProgram bound;
    Program *p;
    Section *floats, *integers;
    Tensor *x, *w, *bias, *y, *dy, *dx, *dw, *db, *scales, *observed;
} Fixture;

static Tensor *declare(Fixture *f, const char *name, int n_dims, const int64_t *shape) {
    Tensor *t = NULL;
    program_check(f->p, section_add(f->store, f->floats, name, n_dims, shape, &t));
    return t;
}

static bool fixture_open(Fixture *f, bool trains) {
    *f = (Fixture){0};
    if (!CHECK_OK(device_open_cpu(2, &f->device)) || !CHECK_OK(store_create(&f->store)) ||
        !CHECK_OK(program_create(f->device->target, trains, &f->bound.program)))
        return false;
    f->p = f->bound.program;
    bool has = CHECK_OK(store_section(f->store, "f", BUFFER_INPUTS, DTYPE_F32, &f->floats)) &&
               CHECK_OK(store_section(f->store, "i", BUFFER_INPUTS, DTYPE_I32, &f->integers));
    if (!has) return false;
    f->x = declare(f, "x", 2, (int64_t[]){ROWS, K});
    f->w = declare(f, "w", 2, (int64_t[]){N, K});
    f->bias = declare(f, "bias", 1, (int64_t[]){N});
    f->y = declare(f, "y", 2, (int64_t[]){ROWS, N});
    f->dy = declare(f, "dy", 2, (int64_t[]){ROWS, N});
    f->dx = declare(f, "dx", 2, (int64_t[]){ROWS, K});
    f->dw = declare(f, "dw", 2, (int64_t[]){N, K});
    f->db = declare(f, "db", 1, (int64_t[]){N});
    f->scales = declare(f, "scales", 1, (int64_t[]){3});
    return CHECK_OK(section_add(f->store, f->integers, "o", 1, (int64_t[]){2}, &f->observed));
}

static void fill(const Tensor *t, uint64_t stream, float size) {
    float *values = tensor_data(t);
    for (int64_t i = 0; i < tensor_count(t); i++)
        values[i] = size * (2 * rng_uniform(philox(5, (uint64_t)i, stream).word[0]) - 1);
}

static bool fixture_bind(Fixture *f) {
    bool bound = CHECK_OK(program_status(f->p)) && CHECK_OK(bound_programs_plan(&f->bound, 1)) &&
                 CHECK_OK(store_allocate(f->store, f->device)) &&
                 CHECK_OK(bound_programs_bind(&f->bound, 1, f->device, "a test"));
    if (!bound) return false;
    fill(f->x, 1, 3), fill(f->w, 2, 0.1f), fill(f->bias, 3, 1), fill(f->dy, 4, 1e-3f);
    float *scales = tensor_data(f->scales);
    scales[0] = float8_scale(DTYPE_F8E4M3, 1); /* up to 1.75: of x up to 3 some saturate */
    scales[1] = float8_scale(DTYPE_F8E4M3, 0.1f);
    scales[2] = float8_scale(DTYPE_F8E5M2, 1e-3f);
    return true;
}

static void fixture_close(Fixture *f) {
    bound_programs_destroy(&f->bound, 1);
    store_destroy(&f->store);
    device_close(&f->device);
}

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
            fill(f.db, 9, 1);
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

/* All products of a layer in eight bits; `scales` receives one scale each of x, w and dy. */
static LinearF8 layer_of(const Fixture *f, Tensor scales[3]) {
    for (int i = 0; i < 3; i++) {
        scales[i] = *f->scales;
        scales[i].offset += (size_t)i * sizeof(float);
        scales[i].shape[0] = 1;
    }
    return (LinearF8){.x = {DTYPE_F8E4M3, &scales[0], NULL},
                      .w = {DTYPE_F8E4M3, &scales[1], NULL},
                      .dy = {DTYPE_F8E5M2, &scales[2], NULL},
                      .forward = true,
                      .dx = true,
                      .dw = true};
}

/* The three products equal those of the rounded operands. */
static void products_are_those_of_the_rounded_operands(void) {
    Fixture f;
    LinearF8 layer;
    if (fixture_open(&f, true)) {
        Tensor scales[3];
        layer = layer_of(&f, scales);
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

typedef Tensor *Activation(Program *p, Tensor *x);

/* Activation, quantize, product and their gradients, with fusion or without. Returns dx and dw. */
static int mlp_run(Activation *activation, bool fuses, float *gradients) {
    Fixture f;
    int nodes = 0;
    LinearF8 layer;
    if (fixture_open(&f, true)) {
        Tensor scales[3];
        layer = layer_of(&f, scales);
        f.x->needs_grad = f.w->needs_grad = true;
        autodiff_watch(f.p, f.w, f.dw, false);
        Tensor *pre = linear_f8_record(f.p, f.x, f.w, NULL, &layer);
        Tensor *hidden = activation(f.p, pre);
        Tensor *square = declare(&f, "square", 2, (int64_t[]){N, N});
        Tensor *y = linear_f8_record(f.p, hidden, square, NULL, &layer);
        autodiff_watch(f.p, f.x, f.dx, false);
        autodiff_watch(f.p, y, f.dy, true);
        autodiff_run(f.p);
        if (fuses) quantize_fuse(f.p);
        nodes = f.p->n_nodes;
        if (fixture_bind(&f)) {
            fill(square, 6, 0.2f);
            CHECK_OK(device_replay(f.device, f.p));
            memcpy(gradients, tensor_data(f.dx), sizeof(float) * ROWS * K);
            memcpy(gradients + ROWS * K, tensor_data(f.dw), sizeof(float) * N * K);
        }
    }
    fixture_close(&f);
    return nodes;
}

/* The head: logits, their loss and gradient, with fusion or without. Returns the losses, dx and
 * dw. */
static int head_run(bool fuses, float *results) {
    Fixture f;
    int nodes = 0;
    LinearF8 layer;
    if (fixture_open(&f, true)) {
        Section *bytes = NULL;
        Tensor scales[3], *step = NULL, *targets = NULL;
        program_check(f.p, store_section(f.store, "s", BUFFER_INPUTS, DTYPE_U8, &bytes));
        program_check(
            f.p, section_add(f.store, bytes, "step", 1, (int64_t[]){sizeof(StepState)}, &step));
        program_check(f.p,
                      section_add(f.store, f.integers, "targets", 1, (int64_t[]){ROWS}, &targets));
        layer = layer_of(&f, scales);
        layer.dy.observed = f.observed;
        Tensor *losses = declare(&f, "losses", 1, (int64_t[]){ROWS});
        f.x->needs_grad = f.w->needs_grad = true;
        autodiff_watch(f.p, f.x, f.dx, false);
        autodiff_watch(f.p, f.w, f.dw, false);
        Tensor *logits = program_tensor(f.p, BUFFER_LOGITS, DTYPE_F32, 2, (int64_t[]){ROWS, N});
        linear_f8_into(f.p, logits, f.x, f.w, &layer);
        cross_entropy_record(f.p, losses, logits, targets,
                             (CrossEntropyAttrs){.V = N - 3, .scale = 1.0 / ROWS}, step);
        linear_f8_gradient_record(f.p, logits, f.x, f.w, NULL, &layer);
        if (fuses) quantize_fuse(f.p);
        nodes = f.p->n_nodes;
        if (fixture_bind(&f)) {
            ((StepState *)tensor_data(step))->loss_scale = 1;
            for (int32_t i = 0; i < ROWS; i++)
                ((int32_t *)tensor_data(targets))[i] = i == 5 ? CROSS_ENTROPY_IGNORED : i % (N - 3);
            CHECK_OK(device_replay(f.device, f.p));
            memcpy(results, tensor_data(losses), sizeof(float) * ROWS);
            memcpy(results + ROWS, tensor_data(f.dx), sizeof(float) * ROWS * K);
            memcpy(results + ROWS + ROWS * K, tensor_data(f.dw), sizeof(float) * N * K);
            memcpy(results + ROWS + ROWS * K + N * K, tensor_data(f.observed), 2 * sizeof(float));
        }
    }
    fixture_close(&f);
    return nodes;
}

static void the_loss_writes_eight_bits_without_changing_one(void) {
    static float plain[ROWS + ROWS * K + N * K + 2], fused[ROWS + ROWS * K + N * K + 2];
    int before = head_run(false, plain), after = head_run(true, fused);
    CHECK(after == before); /* float8_transpose in the place of quantize */
    CHECK(memcmp(plain, fused, sizeof plain) == 0);
    CHECK(plain[0] > 0 && plain[ROWS] != 0 && plain[COUNT(plain) - 2] > 0);
}

static void fusion_changes_no_bit(void) {
    static float plain[ROWS * K + N * K], fused[ROWS * K + N * K];
    Activation *const activations[] = {gelu_record, relu2_record};
    for (size_t a = 0; a < COUNT(activations); a++) {
        int before = mlp_run(activations[a], false, plain),
            after = mlp_run(activations[a], true, fused);
        CHECK(after == before - 2);
        CHECK(memcmp(plain, fused, sizeof plain) == 0);
        double sum = 0;
        for (size_t i = 0; i < COUNT(plain); i++) sum += fabs((double)plain[i]);
        CHECK(sum > 0);
    }
}

/* A second reader of relu2's result, or of the gradient, keeps both tensors. */
static void a_result_with_two_readers_is_kept(void) {
    for (int trains = 0; trains < 2; trains++) {
        Fixture f;
        Tensor scales[3];
        if (fixture_open(&f, trains)) {
            LinearF8 layer = layer_of(&f, scales);
            f.x->needs_grad = trains;
            Tensor *hidden = relu2_record(f.p, f.x);
            Tensor *y = linear_f8_record(f.p, hidden, f.w, NULL, &layer);
            copy_record(f.p, trains ? f.dx : f.x, hidden, trains);
            if (trains) {
                autodiff_watch(f.p, f.x, f.dx, false);
                autodiff_watch(f.p, y, f.dy, true);
                autodiff_run(f.p);
            }
            int before = f.p->n_nodes;
            quantize_fuse(f.p);
            CHECK_OK(program_status(f.p));
            CHECK(f.p->n_nodes == before);
        }
        fixture_close(&f);
    }
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
                          TEST(fusion_changes_no_bit),
                          TEST(a_result_with_two_readers_is_kept),
                          TEST(the_loss_writes_eight_bits_without_changing_one),
                          TEST(a_current_scale_is_that_of_the_tensor),
                          TEST(old_gpus_are_refused)};
    return harness_run(argc, argv, "quantize", tests, COUNT(tests));
}
