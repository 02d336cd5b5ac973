#include "tests/nn/attention_edges_helper.h"

#include "tests/harness.h"
#include "tests/nn/attention_run_helper.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const StepState step = {
    .seed = 11, .step = 6, .first_sample = 3, .adam_step = 7, .loss_scale = 1};
static const char *const names[ATT_TENSORS] = {"q",   "k",  "v",  "dout", "bias", "out",
                                               "lse", "dq", "dk", "dv",   "dbias"};
enum { FORWARD = 1 << ATT_OUT | 1 << ATT_LSE, WEIGHTS = FORWARD | 1 << ATT_DV, ALL = -1 };

static double *place_of(const AttentionCall *c, const AttentionData *data, int which, int64_t b,
                        int64_t h, int64_t t) {
    HeadLayout l = which == ATT_Q      ? c->q
                   : which == ATT_DOUT ? c->out
                   : which == ATT_K    ? c->k
                                       : c->v;
    return data->values[which] + b * l.batch + h * l.head + t * l.token;
}

static void poison_bias(const AttentionCall *c, const AttentionData *data, const Poison *p) {
    for (int64_t at = 0; at < data->counts[ATT_BIAS]; at++) {
        bool is_key = at % c->Tk >= p->first && at % c->Tk < p->end;
        if (is_key && (p->d < 0 || at / c->Tk == p->d)) data->values[ATT_BIAS][at] = p->value;
    }
}

static void poison(const AttentionCall *c, const AttentionData *data, const Poison *p) {
    bool is_key = p->which == ATT_K || p->which == ATT_V;
    if (p->which == ATT_BIAS) {
        poison_bias(c, data, p);
        return;
    }
    for (int64_t head = 0; head < c->B * (is_key ? c->NH_kv : c->NH); head++) {
        int64_t heads = is_key ? c->NH_kv : c->NH;
        for (int64_t t = p->first; t < p->end; t++) {
            double *row = place_of(c, data, p->which, head / heads, head % heads, t);
            for (int64_t d = 0; d < c->HS; d++) {
                if (p->d < 0 || p->d == d) row[d] = attention_rounded(p->value, c->dtype);
            }
        }
    }
}

/* The error of a backend in one output, relative to the reference's root mean square and 0.1 (lse:
 * to each value and 1); infinite if only one of them has a NaN or an infinity at some position. */
static double error_of(const AttentionData *got, const AttentionData *wanted, int which) {
    double error = 0, norm = 0, worst = 0;
    int64_t count = wanted->counts[which];
    for (int64_t i = 0; i < count; i++) {
        double x = got->values[which][i], y = wanted->values[which][i];
        if (isnan(x) != isnan(y) || isinf(x) != isinf(y)) return INFINITY;
        if (isnan(y) || (isinf(y) && x == y)) continue;
        error += (x - y) * (x - y), norm += y * y + 1e-2;
        worst = fmax(worst, fabs(x - y) / fmax(1, fabs(y)));
    }
    return which == ATT_LSE ? worst : norm > 0 ? sqrt(error / norm) : 0;
}

static double bar_of(const Device *device, DType dtype) {
    if (dtype == DTYPE_F32 && device->tf32) return 1e-2;
    return dtype == DTYPE_F64   ? 1e-11
           : dtype == DTYPE_F32 ? 2e-5
           : dtype == DTYPE_F16 ? 1e-2
                                : 4e-2;
}

static int64_t nans_of(const AttentionData *data, int which) {
    int64_t count = 0;
    for (int64_t i = 0; i < data->counts[which]; i++) count += !isfinite(data->values[which][i]);
    return count;
}

static void compare(const char *name, const AttentionBackend *backend, DType dtype, double bar,
                    const AttentionData *got, const AttentionData *wanted, int compared) {
    for (int which = ATT_OUT; which < ATT_TENSORS; which++) {
        bool is_rounded =
            which == ATT_LSE && backend->saves_weights; /* their scores have the tensors' dtype */
        double error = error_of(got, wanted, which), allowed = is_rounded ? 2 * bar : bar;
        if ((compared & 1 << which) == 0) continue;
        if (!(error <= allowed)) {
            printf("\n    %s, %s %s: %s errs by %.2e, allowed %.2e; not finite: %lld, of the "
                   "reference %lld",
                   name, backend->forward.name, dtype_name(dtype), names[which], error, allowed,
                   (long long)nans_of(got, which), (long long)nans_of(wanted, which));
        }
        CHECK(error <= allowed);
    }
}

/* The quadratic backends keep scores in f16, which overflow at 65504. This is their documented
 * behavior. */
static bool is_beyond(const AttentionBackend *backend, DType dtype, double score) {
    return backend->saves_weights && dtype == DTYPE_F16 && fabs(score) > 3e4;
}

static void outputs_clear(AttentionData *data) {
    for (int which = ATT_OUT; which < ATT_TENSORS; which++) {
        for (int64_t i = 0; i < data->counts[which]; i++) data->values[which][i] = NAN;
    }
}

/* Runs every backend of the device on these inputs. score: the largest product of q and k. */
static int backends_run(Device *device, const char *name, const AttentionCall *call,
                        AttentionData *data, const AttentionData *wanted, int compared,
                        double score) {
    int ran = 0;
    for (int i = 0; attention_backends[i] != NULL; i++) {
        const AttentionBackend *backend = attention_backends[i];
        if (backend->forward.device != device->target.kind ||
            attention_refusal(backend, call, &device->target) != NULL)
            continue;
        if (is_beyond(backend, call->dtype, score)) continue;
        outputs_clear(data);
        if (!CHECK_OK(attention_by(backend, call, device, &step, data))) continue;
        compare(name, backend, call->dtype, bar_of(device, call->dtype), data, wanted, compared);
        ran++;
    }
    return ran;
}

/* Two copies of the same random inputs: one for the backends, one for the reference. */
static bool pair_create(const AttentionShape *shape, const AttentionCall *call,
                        AttentionData pair[2]) {
    bool made = attention_data_create(shape, call, 1, &pair[0]);
    made = attention_data_create(shape, call, 1, &pair[1]) && made;
    CHECK(made);
    return made;
}

static void pair_destroy(AttentionData pair[2]) {
    attention_data_destroy(&pair[0]);
    attention_data_destroy(&pair[1]);
}

void edge_run(Device *device, const Edge *edge, DType dtype) {
    AttentionCall call = attention_call_of(edge->shape, dtype);
    AttentionData pair[2];
    call.training = !edge->infers;
    if (pair_create(&edge->shape, &call, pair)) {
        for (int n = 0; n < 2; n++) {
            if (edge->fills_hidden) attention_fill_hidden(&call, &pair[n], NAN);
            for (int i = 0; i < 4 && edge->poisons[i].end > 0; i++)
                poison(&call, &pair[n], &edge->poisons[i]);
        }
        attention_reference(&call, &step, &pair[1]);
        CHECK(backends_run(device, edge->name, &call, &pair[0], &pair[1],
                           edge->infers ? FORWARD : ALL, 1) > 0);
    }
    pair_destroy(pair);
}

/* q is `a` and the keys are +-b in the first element and 0 elsewhere, so scores are exact in any
 * order of summation. */
static void scores_set(const AttentionCall *call, const AttentionData *data, double a, double b,
                       bool alternates) {
    const Poison clear[] = {
        {ATT_Q, 0, call->Tq, -1, 0}, {ATT_K, 0, call->Tk, -1, 0}, {ATT_Q, 0, call->Tq, 0, a}};
    for (size_t i = 0; i < COUNT(clear); i++) poison(call, data, &clear[i]);
    for (int64_t j = 0; j < call->Tk; j++) {
        poison(call, data, &(Poison){ATT_K, j, j + 1, 0, alternates && j % 2 == 0 ? -b : b});
    }
}

static double largest_of(DType dtype) {
    return dtype == DTYPE_F16 ? 65504 : dtype == DTYPE_F64 ? DBL_MAX : FLT_MAX;
}

void edges_equal(Device *device, AttentionShape shape, DType dtype, double score, bool alternates) {
    AttentionCall call = attention_call_of(shape, dtype);
    double a = attention_rounded(sqrt(fabs(score / (double)call.scale)), dtype),
           b = score < 0 ? -a : a;
    AttentionData pair[2];
    char name[64];
    if (!(a <= largest_of(dtype))) return;
    snprintf(name, sizeof name, "scores of %.3g%s, HS=%lld", score,
             alternates ? " of both signs" : "", (long long)call.HS);
    if (pair_create(&shape, &call, pair)) {
        scores_set(&call, &pair[0], a, b, alternates);
        scores_set(&call, &pair[1], a, b, alternates);
        attention_reference(&call, &step, &pair[1]);
        CHECK(backends_run(device, name, &call, &pair[0], &pair[1], WEIGHTS, a * a) > 0);
    }
    pair_destroy(pair);
}

static const double sizes[] = {30, 300, 1e3, 5832, 1e5, 1e7, 1e9, 1e12, 1e17, 1e30};

void edges_equal_scores(Device *device, DType dtype, size_t kinds) {
    static const int64_t heads[] = {64, 32, 80, 96, 128, 256};
    for (size_t n = 0; n < COUNT(sizes) * kinds; n++) {
        AttentionShape shape = {SIZES(1, 2, 1, 70, 300, heads[n % kinds])};
        shape.causal = n % 2 == 0 ? CAUSAL_LOWER_RIGHT : CAUSAL_NONE;
        shape.scale = n % 3 == 0 ? 1 / sqrtf(96) : n % 3 == 1 ? 0 : 0.125f;
        shape.seed = n;
        double score = sizes[n / kinds];
        edges_equal(device, shape, dtype, score, false);
        edges_equal(device, shape, dtype, -score, false);
        edges_equal(device, shape, dtype, score, true);
        shape.scale = -0.125f;
        edges_equal(device, shape, dtype, score, n % 2 == 0);
        shape.ranges = SHAPE_LENGTHS, shape.scale = 0, shape.B = 2;
        edges_equal(device, shape, dtype, score, n % 2 == 0);
    }
}

static void two_keys(Device *device, AttentionCall call, DType dtype, double score,
                     const AttentionBackend *backend) {
    AttentionShape shape = {SIZES(1, 1, 1, 1, 2, call.HS)};
    double a = attention_rounded(sqrt(score / (double)call.scale), dtype);
    AttentionData data;
    if (!(a <= largest_of(dtype)) || is_beyond(backend, dtype, a * a)) return;
    if (attention_data_create(&shape, &call, 1, &data)) {
        scores_set(&call, &data, a, a, false);
        poison(&call, &data, &(Poison){ATT_DOUT, 0, 1, -1, 1});
        CHECK_OK(attention_by(backend, &call, device, &step, &data));
        for (int64_t i = 0; i < 2 * call.HS; i++) {
            double dv = data.values[ATT_DV][i];
            if (!(fabs(dv - 0.5) <= 1e-3))
                printf("\n    %s, scores of %.3g: dv %g", backend->forward.name, score, dv);
            CHECK(fabs(dv - 0.5) <= 1e-3);
        }
    }
    attention_data_destroy(&data);
}

void edges_two_keys(Device *device, DType dtype) {
    AttentionShape shape = {SIZES(1, 1, 1, 1, 2, 64)};
    AttentionCall call = attention_call_of(shape, dtype);
    for (size_t n = 0; n < COUNT(sizes); n++) {
        for (int i = 0; attention_backends[i] != NULL; i++) {
            const AttentionBackend *backend = attention_backends[i];
            bool serves = backend->forward.device == device->target.kind &&
                          attention_refusal(backend, &call, &device->target) == NULL;
            if (serves) two_keys(device, call, dtype, sizes[n], backend);
        }
    }
}

void edges_long_rows(Device *device, DType dtype, int64_t Tk) {
    AttentionShape shape = {SIZES(1, 1, 1, 64, Tk, 64)};
    AttentionCall call = attention_call_of(shape, dtype);
    static const double values[] = {54, 216, 432};
    for (size_t n = 0; n < COUNT(values); n++) {
        AttentionData pair[2];
        if (pair_create(&shape, &call, pair)) {
            for (int at = 0; at < 2; at++) {
                scores_set(&call, &pair[at], values[n], values[n], false);
                for (int64_t d = 0; d < 4;
                     d++) { /* the part of the keys that an element of out weighs */
                    poison(&call, &pair[at], &(Poison){ATT_V, 0, Tk, d, 0});
                    poison(&call, &pair[at], &(Poison){ATT_V, d * Tk / 4, (d + 1) * Tk / 4, d, 1});
                }
            }
            attention_reference(&call, &step, &pair[1]);
            backends_run(device, "long rows", &call, &pair[0], &pair[1], FORWARD,
                         values[n] * values[n]);
            for (int64_t at = 0; at < shape.Tq * 4;
                 at++) { /* of the last backend; all were compared */
                double out = pair[0].values[ATT_OUT][at / 4 * 64 + at % 4];
                CHECK(fabs(out - 0.25) <= 1e-3);
            }
        }
        pair_destroy(pair);
    }
}
