/* The fusions of quantization on the CPU, which change no bit. */
#include "tests/core/quantize_helper.h"

#include "core/autodiff.h"
#include "core/ops/copy.h"
#include "core/ops/cross_entropy.h"
#include "core/ops/gelu.h"
#include "core/ops/norm.h"
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
static int head_run(bool fuses, double softcap, float *results) {
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
                             (CrossEntropyAttrs){N - 3, 1.0 / ROWS, softcap, true}, step);
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
    for (int softcap = 0; softcap <= 4; softcap += 4) {
        int before = head_run(false, softcap, plain), after = head_run(true, softcap, fused);
        CHECK(after == before); /* float8_transpose in the place of quantize */
        CHECK(memcmp(plain, fused, sizeof plain) == 0);
        CHECK(plain[0] > 0 && plain[ROWS] != 0 && plain[COUNT(plain) - 2] > 0);
    }
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

typedef struct NormCase {
    NormKind kind;
    bool has_branch, has_gamma, has_beta;
    int64_t C; /* of more than one piece, too: core/cpu/norm.c */
} NormCase;

enum { MAX_C = 272, NORM_RESULTS = ROWS * N + 2 * ROWS * MAX_C + N * MAX_C + 2 * MAX_C + 2 };

typedef struct NormRun {
    float results[NORM_RESULTS]; /* y, sum, dx, dw, dgamma, dbeta, observed */
    int nodes;
    bool has_memory; /* of the result of the norm */
} NormRun;

static void results_take(NormRun *run, Tensor *const *tensors, int count) {
    size_t taken = 0;
    for (int i = 0; i < count; i++) {
        memcpy((char *)run->results + taken, tensor_data(tensors[i]), tensor_bytes(tensors[i]));
        taken += tensor_bytes(tensors[i]);
    }
}

/* A residual sum, its norm, a product and their gradients, with fusion or without. */
static void norm_run(const NormCase *c, bool fuses, NormRun *run) {
    Fixture f;
    Tensor scales[3], *sum = NULL;
    *run = (NormRun){0};
    if (fixture_open(&f, true)) {
        LinearF8 layer = fixture_layer(&f, scales);
        layer.x.observed = f.observed;
        int64_t x_shape[] = {ROWS, c->C}, w_shape[] = {N, c->C};
        Tensor *x = fixture_tensor(&f, "rows", 2, x_shape),
               *branch = fixture_tensor(&f, "branch", 2, x_shape),
               *gamma = fixture_tensor(&f, "gamma", 1, &c->C),
               *beta = fixture_tensor(&f, "beta", 1, &c->C),
               *w = fixture_tensor(&f, "weight", 2, w_shape),
               *kept = fixture_tensor(&f, "sum", 2, x_shape),
               *dx = fixture_tensor(&f, "drows", 2, x_shape),
               *dw = fixture_tensor(&f, "dweight", 2, w_shape),
               *dgamma = fixture_tensor(&f, "dgamma", 1, &c->C),
               *dbeta = fixture_tensor(&f, "dbeta", 1, &c->C);
        x->needs_grad = w->needs_grad = gamma->needs_grad = beta->needs_grad = true;
        autodiff_watch(f.p, x, dx, false);
        autodiff_watch(f.p, w, dw, false);
        autodiff_watch(f.p, gamma, dgamma, false);
        autodiff_watch(f.p, beta, dbeta, false);
        NormOptions options = {c->kind, 1e-5};
        Tensor *n = norm_record(f.p, x, c->has_branch ? branch : NULL, c->has_gamma ? gamma : NULL,
                                c->has_beta ? beta : NULL, options, &sum);
        Tensor *y = linear_f8_record(f.p, n, w, f.bias, &layer);
        autodiff_watch(f.p, y, f.dy, true);
        autodiff_run(f.p);
        copy_record(f.p, f.y, y, false);
        copy_record(f.p, kept, sum, false);
        if (fuses) quantize_fuse(f.p);
        run->nodes = f.p->n_nodes;
        if (fixture_bind(&f)) {
            Tensor *drawn[] = {x, branch, gamma, beta, w};
            for (size_t i = 0; i < COUNT(drawn); i++) fixture_fill(drawn[i], 10 + i, 2);
            CHECK_OK(device_replay(f.device, f.p));
            results_take(run, TENSORS(f.y, kept, dx, dw, dgamma, dbeta, f.observed));
            const PlannedBuffer *planned = &f.bound.plan->buffers[n->buffer->index];
            run->has_memory = planned->first <= planned->last;
        }
    }
    fixture_close(&f);
}

static void a_norm_writes_eight_bits_without_changing_one(void) {
    static NormRun plain, fused;
    const NormCase cases[] = {{NORM_LAYER, true, true, true, 272},
                              {NORM_LAYER, false, true, false, 128},
                              {NORM_LAYER, true, false, false, 32},
                              {NORM_RMS, true, true, false, 144},
                              {NORM_RMS, false, false, false, 16}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        norm_run(&cases[i], false, &plain);
        norm_run(&cases[i], true, &fused);
        CHECK(fused.nodes == plain.nodes - 1 && plain.has_memory && !fused.has_memory);
        CHECK(memcmp(plain.results, fused.results, sizeof plain.results) == 0);
        CHECK(plain.results[0] != 0 && plain.results[ROWS * N + ROWS * cases[i].C] != 0);
    }
}

/* A norm that is not fused: its result has a second reader, or other codes. */
static void norm_keep(bool has_reader, DType dtype) {
    Fixture f;
    Tensor scales[3], *sum;
    if (fixture_open(&f, false)) {
        LinearF8 layer = fixture_layer(&f, scales);
        Tensor *y = norm_record(f.p, f.x, NULL, NULL, NULL, (NormOptions){NORM_RMS, 1e-5}, &sum);
        layer.x.dtype = dtype;
        quantize_record(f.p, y, &layer.x, (QuantizeWants){.q = true});
        if (has_reader) copy_record(f.p, f.dx, y, false);
        int before = f.p->n_nodes;
        quantize_fuse(f.p);
        CHECK_OK(program_status(f.p));
        CHECK(f.p->n_nodes == before && f.p->nodes[0]->outputs[0] == y);
    }
    fixture_close(&f);
}

static void a_norm_keeps_what_others_read(void) {
    norm_keep(true, DTYPE_F8E4M3);
    norm_keep(false, DTYPE_F8E5M2); /* norms write e4m3 alone */
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(fusion_changes_no_bit), TEST(a_result_with_two_readers_is_kept),
                          TEST(the_loss_writes_eight_bits_without_changing_one),
                          TEST(a_norm_writes_eight_bits_without_changing_one),
                          TEST(a_norm_keeps_what_others_read)};
    return harness_run(argc, argv, "fuse_quantize", tests, COUNT(tests));
}
