#include "tests/core/op_edges_loss_helper.h"

#include "core/ops/cross_entropy.h"
#include "core/step.h"
#include "tests/core/edge_helper.h"

typedef enum Outcome { UNIFORM, ALL_NAN, ALL_ZERO } Outcome;

/* A row of equal logits, except for one of them and the padding. */
typedef struct LossRow {
    double logit, one, padding;
    int32_t target; /* LAST: V - 1, PADDING: V */
    Outcome outcome;
} LossRow;

enum { LAST = 1000000, PADDING = 1000001, FAR = 2000000000 };

static const LossRow loss_rows[] = {
    {-70000, -70000, 0, 3, UNIFORM},
    {1e9, 1e9, 1e10, 0, UNIFORM},
    {-1e30, -1e30, 1, 2, UNIFORM},
    {3e38, 3e38, -3e38, LAST, UNIFORM},
    {-3e38, -3e38, 3e38, 1, UNIFORM},
    {2, 2, NAN, LAST, UNIFORM},
    {2, 2, INFINITY, 5, UNIFORM},
    {2, NAN, 0, 0, ALL_NAN},
    {NAN, NAN, 0, 3, ALL_NAN},
    {2, INFINITY, NAN, 3, ALL_NAN},
    {-INFINITY, -INFINITY, 0, 4, ALL_NAN},
    {2, 2, 0, PADDING, ALL_NAN},
    {2, 2, 0, FAR, ALL_NAN},
    {2, 2, NAN, -2, ALL_NAN},
    {2, 2, 0, -FAR, ALL_NAN},
    {2, 2, 5, CROSS_ENTROPY_IGNORED, ALL_ZERO},
    {NAN, NAN, NAN, CROSS_ENTROPY_IGNORED, ALL_ZERO},
};

enum { LOSS_ROWS = COUNT(loss_rows) };

static int32_t column_of(int32_t target, int64_t V) {
    return target == LAST ? (int32_t)V - 1 : target == PADDING ? (int32_t)V : target;
}

/* f16 ends at 65504; larger logits are not the subject of this test */
static double logit_of(double value, DType dtype) {
    return dtype == DTYPE_F16 && fabs(value) > 65504 && isfinite(value) ? copysign(65504, value)
                                                                        : value;
}

/* The derivative of the softcap at the logits of a row. */
static double slope_of(const LossRow *row, double softcap, DType dtype) {
    double t = softcap == 0 ? 0 : tanh(logit_of(row->logit, dtype) / softcap);
    return 1 - t * t;
}

static void losses_check(const double *losses, const double *grads, int64_t V, int64_t Vp,
                         DType dtype, double softcap) {
    for (int64_t i = 0; i < LOSS_ROWS; i++) {
        const LossRow *row = &loss_rows[i];
        if (softcap != 0 && row->one == INFINITY) continue; /* its softmax exists */
        double slope = slope_of(row, softcap, dtype);
        const double *g = grads + i * Vp;
        int32_t target = column_of(row->target, V);
        double uniform = 1 / (double)V, allowed = edge_is_half(dtype) ? 1e-2 : 1e-5;
        for (int64_t v = 0; v < Vp; v++) {
            double wanted =
                v >= V || row->outcome == ALL_ZERO ? 0 : slope * (uniform - (v == target));
            bool good = row->outcome == ALL_NAN && v < V ? isnan(g[v])
                        : wanted == 0                    ? g[v] == 0
                                                         : edge_is_close(g[v], wanted, allowed);
            if (!good) edge_check(false, "gradient of cross_entropy", dtype, i, g[v]);
            if (!good) break;
        }
        bool good = row->outcome == UNIFORM   ? edge_is_close(losses[i], log((double)V), 1e-5)
                    : row->outcome == ALL_NAN ? isnan(losses[i])
                                              : losses[i] == 0;
        edge_check(good, "loss", dtype, i, losses[i]);
    }
}

static void losses_write(Edge *e, const Tensor *logits, const Tensor *targets, int64_t V) {
    int64_t Vp = tensor_columns(logits);
    double *values = malloc((size_t)(LOSS_ROWS * Vp) * sizeof *values);
    int32_t columns[LOSS_ROWS];
    for (int64_t i = 0; i < LOSS_ROWS; i++) {
        const LossRow *row = &loss_rows[i];
        for (int64_t v = 0; v < Vp; v++) {
            values[i * Vp + v] = logit_of(v >= V   ? row->padding
                                          : v == 7 ? row->one
                                                   : row->logit,
                                          e->dtype);
        }
        columns[i] = column_of(row->target, V);
    }
    edge_write(e, logits, values);
    CHECK_OK(device_upload(e->device, targets, columns));
    free(values);
}

static void cross_entropy_of(Device *device, DType dtype, int64_t V, int64_t Vp, double softcap) {
    Edge e;
    if (!edge_begin(&e, device, dtype)) return;
    Tensor *logits = edge_tensor(&e, e.tested, SHAPE(LOSS_ROWS, Vp)), *step = edge_step(&e);
    Tensor *losses = edge_tensor(&e, e.wide, SHAPE(LOSS_ROWS, 1)),
           *targets = edge_tensor(&e, e.integers, SHAPE(LOSS_ROWS, 1));
    CrossEntropyAttrs attrs = {.V = V, .scale = 1, .softcap = softcap};
    cross_entropy_record(e.program, losses, logits, targets, attrs, step);
    if (edge_ready(&e)) {
        StepState state = {.loss_scale = 1};
        losses_write(&e, logits, targets, V);
        CHECK_OK(device_upload(device, step, &state));
        double *found = edge_run(&e, losses), *grads = edge_read(&e, logits);
        losses_check(found, grads, V, Vp, dtype, softcap);
        free(found);
        free(grads);
    }
    edge_end(&e);
}

static void softcap_refused(Device *device, double softcap, const char *why) {
    Edge e;
    if (!edge_begin(&e, device, DTYPE_F32)) return;
    Tensor *t = edge_tensor(&e, e.wide, SHAPE(1, 1)), *step = edge_step(&e);
    CrossEntropyAttrs attrs = {.V = 1, .scale = 1, .softcap = softcap};
    cross_entropy_record(e.program, t, t, t, attrs, step);
    CHECK_ERROR(program_status(e.program), STATUS_CONFIG, why);
    edge_end(&e);
}

void edges_of_cross_entropy(Device *device, DType dtype) {
    softcap_refused(device, -1, "softcap -1 must be 0 or more");
    softcap_refused(device, NAN, "softcap nan must be 0 or more");
    const double softcaps[] = {0, 4};
    for (int i = 0; i < 2; i++) {
        cross_entropy_of(device, dtype, 61, 64, softcaps[i]);
        cross_entropy_of(device, dtype, 33, 35, softcaps[i]);
        cross_entropy_of(device, dtype, 9001, 9024, softcaps[i]);
        cross_entropy_of(device, dtype, 50257, 50304, softcaps[i]);
    }
}
