#include "tests/core/op_edges_conv_helper.h"

#include "core/autodiff.h"
#include "core/ops/copy.h"
#include "core/ops/short_conv.h"
#include "tests/core/edge_helper.h"

typedef struct ConvShape {
    int64_t B, T, C, taps, document; /* tokens of a document; 0: none */
    bool has_nan;
} ConvShape;

/* What a device computes. */
typedef struct ConvResult {
    double *y, *dh, *dw;
} ConvResult;

static int64_t row_count(const ConvShape *s) { return s->B * s->T; }

static double value_at(int64_t i, double phase, DType dtype) {
    return edge_rounded(sin(1.7 * (double)i + phase) + cos(0.37 * (double)(i * i % 101)), dtype);
}

static double *values_of(int64_t count, double phase, int64_t nan_at, DType dtype) {
    double *values = malloc((size_t)count * sizeof *values);
    for (int64_t i = 0; i < count; i++) values[i] = value_at(i, phase, dtype);
    if (nan_at >= 0) values[nan_at] = NAN;
    return values;
}

/* The first token of the document of token t, and the position after its last one. */
static int64_t first_of(const ConvShape *s, int64_t t) {
    return s->document == 0 ? 0 : t - t % s->document;
}

static int64_t end_of(const ConvShape *s, int64_t t) {
    int64_t end = s->document == 0 ? s->T : first_of(s, t) + s->document;
    return end < s->T ? end : s->T;
}

static void documents_upload(Edge *e, const ConvShape *s, const Tensor *documents) {
    int32_t *ranges = malloc(tensor_bytes(documents));
    for (int64_t i = 0; i < row_count(s); i++) {
        ranges[i] = (int32_t)first_of(s, i % s->T);
        ranges[row_count(s) + i] = (int32_t)end_of(s, i % s->T);
    }
    CHECK_OK(device_upload(e->device, documents, ranges));
    free(ranges);
}

/* The formulas of core/ops/short_conv.h. */
static ConvResult exact(const ConvShape *s, const double *h, const double *w, const double *dy) {
    int64_t C = s->C, count = row_count(s) * C;
    ConvResult r = {calloc((size_t)count, sizeof(double)), calloc((size_t)count, sizeof(double)),
                    calloc((size_t)(s->taps * C), sizeof(double))};
    for (int64_t i = 0; i < count; i++) {
        int64_t t = i / C % s->T, c = i % C;
        for (int64_t j = 0; j < s->taps; j++) {
            double factor = w[j * C + c] + (j == 0);
            if (t - j >= first_of(s, t)) r.y[i] += factor * h[i - j * C];
            if (t + j >= end_of(s, t)) continue;
            r.dh[i] += factor * dy[i + j * C];
            r.dw[j * C + c] += dy[i + j * C] * h[i];
        }
    }
    return r;
}

static void compare(Edge *e, const Tensor *t, const double *wanted, double tolerance,
                    const char *what) {
    double *found = edge_read(e, t);
    for (int64_t i = 0; i < tensor_count(t); i++) {
        bool good = isnan(wanted[i])
                        ? isnan(found[i])
                        : fabs(found[i] - wanted[i]) <= tolerance * (1 + fabs(wanted[i]));
        if (good) continue;
        edge_check(false, what, e->dtype, i, found[i]);
        break;
    }
    free(found);
}

static void conv_of(Device *device, DType dtype, ConvShape s) {
    Edge e;
    if (!edge_begin(&e, device, dtype)) return;
    int64_t nan_at = s.has_nan ? (row_count(&s) / 2) * s.C + s.C / 2 : -1;
    Tensor *h = edge_tensor(&e, e.tested, SHAPE(s.B, s.T, s.C)),
           *w = edge_tensor(&e, e.tested, SHAPE(s.taps, s.C)),
           *dh = edge_tensor(&e, e.tested, SHAPE(s.B, s.T, s.C)),
           *y = edge_tensor(&e, e.tested, SHAPE(s.B, s.T, s.C)),
           *dy = edge_tensor(&e, e.tested, SHAPE(s.B, s.T, s.C)),
           *dw = edge_tensor(&e, e.wide, SHAPE(s.taps, s.C)),
           *documents = edge_tensor(&e, e.integers, SHAPE(2, s.B, s.T));
    h->needs_grad = w->needs_grad = true;
    autodiff_watch(e.program, h, dh, false);
    autodiff_watch(e.program, w, dw, false);
    Tensor *out = short_conv_record(e.program, h, w, s.document == 0 ? NULL : documents);
    copy_record(e.program, y, out, false);
    autodiff_watch(e.program, out, dy, true);
    autodiff_run(e.program);
    if (edge_ready(&e)) {
        double *values[] = {values_of(tensor_count(h), 0.1, nan_at, dtype),
                            values_of(tensor_count(w), 0.7, -1, dtype),
                            values_of(tensor_count(h), 1.3, nan_at, dtype)};
        ConvResult wanted = exact(&s, values[0], values[1], values[2]);
        edge_write(&e, h, values[0]);
        edge_write(&e, w, values[1]);
        edge_write(&e, dy, values[2]);
        documents_upload(&e, &s, documents);
        free(edge_run(&e, y));
        double tolerance = dtype == DTYPE_BF16 ? 1e-2 : dtype == DTYPE_F16 ? 2e-3 : 1e-5;
        compare(&e, y, wanted.y, tolerance, "short_conv");
        compare(&e, dh, wanted.dh, tolerance, "gradient of h");
        compare(&e, dw, wanted.dw, 1e-5 * sqrt((double)row_count(&s)), "gradient of w");
        for (int i = 0; i < 3; i++) free(values[i]);
        free(wanted.y), free(wanted.dh), free(wanted.dw);
    }
    edge_end(&e);
}

void edges_of_short_conv(Device *device, DType dtype) {
    static const int64_t shapes[][4] = {{1, 1, 1, 2},   {3, 1, 8, 4},   {5, 2, 9, 4},
                                        {2, 3, 16, 3},  {3, 11, 5, 3},  {2, 129, 8, 2},
                                        {1, 67, 33, 4}, {7, 40, 264, 3}};
    static const int64_t documents[] = {0, 1, 2, 7};
    for (size_t i = 0; i < COUNT(shapes); i++) {
        for (size_t d = 0; d < COUNT(documents); d++) {
            const int64_t *n = shapes[i];
            conv_of(device, dtype, (ConvShape){n[0], n[1], n[2], n[3], documents[d], false});
            conv_of(device, dtype, (ConvShape){n[0], n[1], n[2], n[3], documents[d], true});
        }
    }
}
