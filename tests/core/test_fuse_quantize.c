/* The fusions of quantization on the CPU, which change no bit. */
#include "tests/core/quantize_helper.h"

#include "core/autodiff.h"
#include "core/ops/copy.h"
#include "core/ops/cross_entropy.h"
#include "core/ops/gelu.h"
#include "core/ops/relu2.h"
#include "core/passes/fuse_quantize.h"
#include "core/step.h"

#include <math.h>
#include <string.h>

typedef Tensor *Activation(Program *p, Tensor *x);

/* Activation, quantize, product and their gradients, with fusion or without. Returns dx and dw. */
static int mlp_run(Activation *activation, bool fuses, float *gradients) {
    Fixture f;
    int nodes = 0;
    LinearF8 layer;
    if (fixture_open(&f, true)) {
        Tensor scales[3];
        layer = fixture_layer(&f, scales);
        f.x->needs_grad = f.w->needs_grad = true;
        autodiff_watch(f.p, f.w, f.dw, false);
        Tensor *pre = linear_f8_record(f.p, f.x, f.w, NULL, &layer);
        Tensor *hidden = activation(f.p, pre);
        Tensor *square = fixture_tensor(&f, "square", 2, (int64_t[]){N, N});
        Tensor *y = linear_f8_record(f.p, hidden, square, NULL, &layer);
        autodiff_watch(f.p, f.x, f.dx, false);
        autodiff_watch(f.p, y, f.dy, true);
        autodiff_run(f.p);
        if (fuses) quantize_fuse(f.p);
        nodes = f.p->n_nodes;
        if (fixture_bind(&f)) {
            fixture_fill(square, 6, 0.2f);
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
        layer = fixture_layer(&f, scales);
        layer.dy.observed = f.observed;
        Tensor *losses = fixture_tensor(&f, "losses", 1, (int64_t[]){ROWS});
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
            LinearF8 layer = fixture_layer(&f, scales);
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

int main(int argc, char **argv) {
    const Test tests[] = {TEST(fusion_changes_no_bit), TEST(a_result_with_two_readers_is_kept),
                          TEST(the_loss_writes_eight_bits_without_changing_one)};
    return harness_run(argc, argv, "fuse_quantize", tests, COUNT(tests));
}
