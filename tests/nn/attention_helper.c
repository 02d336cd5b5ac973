#include "tests/nn/attention_helper.h"

#include "core/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static HeadLayout layout_of(int64_t T, int64_t NH, int64_t HS, bool head_major) {
    return head_major ? (HeadLayout){.batch = NH * T * HS, .token = HS, .head = T * HS}
                      : (HeadLayout){.batch = T * NH * HS, .token = NH * HS, .head = HS};
}

/* A dense layout of the dimensions that exist: (B, NH, Tq, Tk). */
static HeadLayout bias_layout_of(const AttentionShape *s) {
    const char *dims = s->bias_dims == NULL ? "bhq" : s->bias_dims;
    HeadLayout layout = {0};
    int64_t stride = s->Tk;
    if (s->bias == BIAS_NONE) return layout;
    if (strchr(dims, 'q') != NULL) layout.token = stride, stride *= s->Tq;
    if (strchr(dims, 'h') != NULL) layout.head = stride, stride *= s->NH;
    if (strchr(dims, 'b') != NULL) layout.batch = stride;
    return layout;
}

AttentionCall attention_call_of(AttentionShape s, DType dtype) {
    bool packed = s.ranges == SHAPE_PACKED;
    return (AttentionCall){
        .B = s.B,
        .NH = s.NH,
        .NH_kv = s.NH_kv,
        .Tq = s.Tq,
        .Tk = s.Tk,
        .HS = s.HS,
        .dtype = dtype,
        .scale = s.scale != 0 ? s.scale : (float)(1 / sqrt((double)s.HS)),
        .softcap = s.softcap,
        .causal = packed ? CAUSAL_NONE : s.causal,
        .window = packed ? 0 : s.window,
        .ranges = s.ranges != SHAPE_ALL,
        .bias = s.bias,
        .dropout = s.dropout,
        .stream = 9,
        .training = true,
        .q = layout_of(s.Tq, s.NH, s.HS, s.head_major),
        .k = layout_of(s.Tk, s.NH_kv, s.HS, s.head_major),
        .v = layout_of(s.Tk, s.NH_kv, s.HS, s.head_major),
        .out = layout_of(s.Tq, s.NH, s.HS, s.head_major),
        .bias_layout = bias_layout_of(&s),
    };
}

static int64_t bias_count(const AttentionCall *c) {
    HeadLayout l = c->bias_layout;
    return c->Tk * (l.token == 0 ? 1 : c->Tq) * (l.head == 0 ? 1 : c->NH) *
           (l.batch == 0 ? 1 : c->B);
}

static int64_t count_of(const AttentionCall *c, int which) {
    switch (which) {
    case ATT_LSE: return c->B * c->NH * c->Tq;
    case ATT_K:
    case ATT_V:
    case ATT_DK:
    case ATT_DV: return c->B * c->NH_kv * c->Tk * c->HS;
    case ATT_BIAS: return c->bias == BIAS_NONE ? 0 : bias_count(c);
    case ATT_DBIAS: return c->bias == BIAS_ADDITIVE ? bias_count(c) : 0;
    default: return c->B * c->NH * c->Tq * c->HS;
    }
}

double attention_rounded(double value, DType dtype) {
    if (dtype == DTYPE_F64) return value;
    if (dtype == DTYPE_F16) return (double)(_Float16)value;
    float rounded = (float)value;
    if (dtype != DTYPE_BF16 || !isfinite(rounded)) return (double)rounded;
    uint32_t bits;
    memcpy(&bits, &rounded, sizeof bits);
    bits = (bits + 0x7FFFu + (bits >> 16 & 1)) & 0xFFFF0000u;
    memcpy(&rounded, &bits, sizeof rounded);
    return (double)rounded;
}

static uint32_t random_word(uint64_t seed, int64_t i, int which) {
    return philox(seed + 77, (uint64_t)i, (uint64_t)which).word[1];
}

/* Inputs that f32 can represent, so that both precisions compute the same call. */
static double random_value(const AttentionCall *call, uint64_t seed, double magnitude, int64_t i,
                           int which) {
    uint32_t word = random_word(seed, i, which);
    if (which >= ATT_OUT) return NAN;
    if (which == ATT_BIAS && call->bias == BIAS_BOOLEAN)
        return word % 3 != 0 && i / call->Tk % 11 != 5;
    DType dtype = which == ATT_BIAS || call->dtype == DTYPE_F64 ? DTYPE_F32 : call->dtype;
    return attention_rounded(magnitude * (2.0 * (double)rng_uniform(word) - 1.0), dtype);
}

static int by_value(const void *a, const void *b) {
    return *(const int32_t *)a - *(const int32_t *)b;
}

/* Random starts of `segments` sequences in T tokens; in some rows tokens remain after the last. */
static void cumulative_fill(int32_t *starts, int segments, int64_t T, uint64_t seed, int64_t b) {
    starts[0] = 0;
    for (int s = 1; s <= segments; s++)
        starts[s] = (int32_t)(random_word(seed, s, (int)b) % (uint64_t)(T + 1));
    if (b % 2 == 0) starts[segments] = (int32_t)T;
    qsort(starts + 1, (size_t)segments, sizeof *starts, by_value);
}

static Status row_pack(const AttentionShape *s, const AttentionCall *call, int64_t b,
                       AttentionRanges *ranges) {
    int32_t queries[65], keys[65];
    int segments = s->segments > 64 ? 64 : s->segments;
    CausalMask causal = s->ranges == SHAPE_PACKED ? s->causal : CAUSAL_NONE;
    cumulative_fill(queries, segments, call->Tq, s->seed, b);
    cumulative_fill(keys, segments, call->Tk, s->seed, b);
    return ranges_from_cumulative(ranges, b, queries, keys, segments, causal, s->window);
}

static Status rows_pad(const AttentionShape *s, const AttentionCall *call,
                       AttentionRanges *ranges) {
    int32_t queries[64], keys[64];
    if (call->B > 64) return ERROR(STATUS_CONFIG, "a test of %lld rows", (long long)call->B);
    for (int64_t b = 0; b < call->B; b++) {
        queries[b] = (int32_t)(random_word(s->seed, b, 20) % (uint64_t)(call->Tq + 1));
        keys[b] = (int32_t)(random_word(s->seed, b, call->Tq == call->Tk ? 20 : 21) %
                            (uint64_t)(call->Tk + 1));
    }
    return ranges_from_lengths(ranges, call->B % 2 == 0 ? queries : NULL, keys);
}

static Status ranges_make(const AttentionShape *s, const AttentionCall *call,
                          AttentionRanges *out) {
    TRY(ranges_create(call->B, call->Tq, call->Tk, out));
    if (s->ranges == SHAPE_LENGTHS) return rows_pad(s, call, out);
    for (int64_t b = 0; b < call->B; b++) TRY(row_pack(s, call, b, out));
    return OK;
}

bool attention_data_create(const AttentionShape *shape, const AttentionCall *call, double magnitude,
                           AttentionData *out) {
    bool made = true;
    *out = (AttentionData){0};
    for (int which = 0; which < ATT_TENSORS; which++) {
        int64_t count = out->counts[which] = count_of(call, which);
        double *values = out->values[which] = malloc((size_t)count * sizeof *values + 1);
        made &= values != NULL;
        for (int64_t i = 0; values != NULL && i < count; i++) {
            values[i] = random_value(call, shape->seed, magnitude, i, which);
        }
    }
    return made && (!call->ranges || !failed(ranges_make(shape, call, &out->ranges)));
}

void attention_data_destroy(AttentionData *data) {
    for (int which = 0; which < ATT_TENSORS; which++) free(data->values[which]);
    ranges_destroy(&data->ranges);
}

static double *row_of(double *x, HeadLayout layout, int64_t b, int64_t h, int64_t t) {
    return x + b * layout.batch + h * layout.head + t * layout.token;
}

/* Whether query i of row b sees key j, as defined in nn/attention/sdpa.h. */
static bool sees(const AttentionCall *c, const AttentionData *data, int64_t b, int64_t i,
                 int64_t j) {
    const int32_t *first = data->ranges.keys + b * c->Tq, *end = first + c->B * c->Tq;
    if (c->ranges && (j < first[i] || j >= end[i])) return false;
    if (c->causal == CAUSAL_NONE) return true;
    int64_t diagonal = c->causal == CAUSAL_UPPER_LEFT ? i : i + c->Tk - c->Tq;
    return j <= diagonal && (c->window == 0 || j > diagonal - c->window);
}

/* The factor that dropout applies to a weight. */
static double kept(const AttentionCall *c, const StepState *step, int64_t b, int64_t h, int64_t i,
                   int64_t j) {
    if (c->dropout <= 0) return 1;
    uint64_t index = (uint64_t)((((step->first_sample + b) * c->NH + h) * c->Tq + i) * c->Tk + j);
    uint32_t word =
        philox(step->seed, index / 4, rng_counter(step->step, c->stream)).word[index % 4];
    return word < rng_threshold(c->dropout) ? 0 : 1 / (1 - c->dropout);
}

static double dot(const double *a, const double *b, int64_t count) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t d = 0; d < count; d++) sum += a[d] * b[d];
    return sum;
}

static void add_scaled(double *restrict to, double factor, const double *restrict x,
                       int64_t count) {
#pragma omp simd
    for (int64_t d = 0; d < count; d++) to[d] += factor * x[d];
}

static double bias_of(const AttentionCall *c, const AttentionData *data, int64_t b, int64_t h,
                      int64_t i, int64_t j) {
    return c->bias == BIAS_NONE ? 0 : row_of(data->values[ATT_BIAS], c->bias_layout, b, h, i)[j];
}

static bool is_hidden(const AttentionCall *c, const AttentionData *data, int64_t b, int64_t h,
                      int64_t i, int64_t j) {
    double bias = bias_of(c, data, b, h, i, j);
    bool is_biased = c->bias == BIAS_BOOLEAN ? bias == 0 : bias == -INFINITY;
    return is_biased || !sees(c, data, b, i, j);
}

static void fill(double *x, int64_t count, double value) {
    for (int64_t d = 0; d < count; d++) x[d] = value;
}

/* The keys of a head that some query sees, and the queries that see some key. */
static void visible_mark(const AttentionCall *c, const AttentionData *data, int64_t b, int64_t kv,
                         bool *keys, bool *queries) {
    int64_t group = c->NH / c->NH_kv;
    for (int64_t at = 0; at < group * c->Tq * c->Tk; at++) {
        int64_t h = kv * group + at / c->Tk / c->Tq, i = at / c->Tk % c->Tq, j = at % c->Tk;
        if (is_hidden(c, data, b, h, i, j)) continue;
        keys[j] = queries[(at / c->Tk / c->Tq) * c->Tq + i] = true;
    }
}

void attention_fill_hidden(const AttentionCall *c, AttentionData *data, double value) {
    int64_t group = c->NH / c->NH_kv;
    bool *seen = malloc((size_t)(c->Tk + group * c->Tq) * sizeof *seen);
    for (int64_t item = 0; seen != NULL && item < c->B * c->NH_kv; item++) {
        int64_t b = item / c->NH_kv, kv = item % c->NH_kv;
        memset(seen, 0, (size_t)(c->Tk + group * c->Tq) * sizeof *seen);
        visible_mark(c, data, b, kv, seen, seen + c->Tk);
        for (int64_t j = 0; j < c->Tk; j++) {
            if (!seen[j]) fill(row_of(data->values[ATT_K], c->k, b, kv, j), c->HS, value);
            if (!seen[j]) fill(row_of(data->values[ATT_V], c->v, b, kv, j), c->HS, value);
        }
        for (int64_t at = 0; at < group * c->Tq; at++) {
            int64_t h = kv * group + at / c->Tq, i = at % c->Tq;
            if (!seen[c->Tk + at]) fill(row_of(data->values[ATT_Q], c->q, b, h, i), c->HS, value);
            if (!seen[c->Tk + at])
                fill(row_of(data->values[ATT_DOUT], c->out, b, h, i), c->HS, value);
        }
    }
    free(seen);
}

/* The scaled score of a key, capped; *slope, if given, is the derivative of the softcap. */
static double score_of(const AttentionCall *c, const double *q, const double *k, double *slope) {
    double score = (double)c->scale * dot(q, k, c->HS);
    double t = c->softcap > 0 ? tanh(score / c->softcap) : 0;
    if (slope != NULL) *slope = 1 - t * t;
    return c->softcap > 0 ? c->softcap * t : score;
}

/* One query: its softmax into p (Tk), -1 for hidden keys; the log of the sum of its
 * exponentials. */
static double softmax_of(const AttentionCall *c, AttentionData *data, int64_t b, int64_t h,
                         int64_t i, double *p) {
    const double *q = row_of(data->values[ATT_Q], c->q, b, h, i);
    double maximum = -INFINITY, sum = 0;
    for (int64_t j = 0; j < c->Tk; j++) {
        const double *k = row_of(data->values[ATT_K], c->k, b, h / (c->NH / c->NH_kv), j);
        if (is_hidden(c, data, b, h, i, j)) continue;
        p[j] = score_of(c, q, k, NULL);
        if (c->bias == BIAS_ADDITIVE) p[j] += bias_of(c, data, b, h, i, j);
        maximum = fmax(maximum, p[j]);
    }
    for (int64_t j = 0; j < c->Tk; j++) {
        bool hidden = is_hidden(c, data, b, h, i, j);
        p[j] = hidden ? -1 : exp(p[j] - maximum);
        if (!hidden) sum += p[j];
    }
    for (int64_t j = 0; j < c->Tk; j++) p[j] = p[j] < 0 ? -1 : p[j] / sum;
    return maximum + log(sum);
}

/* dS = P (M dP - sum P M dP) = dbias; dq += scale dS k, dk += scale dS q, dv += M P dout. */
static void query_reference(const AttentionCall *c, const StepState *step, AttentionData *data,
                            int64_t b, int64_t h, int64_t i, double *p) {
    int64_t kv = h / (c->NH / c->NH_kv), HS = c->HS;
    data->values[ATT_LSE][(b * c->NH + h) * c->Tq + i] = softmax_of(c, data, b, h, i, p);
    double *out = row_of(data->values[ATT_OUT], c->out, b, h, i),
           *dq = row_of(data->values[ATT_DQ], c->q, b, h, i);
    const double *dout = row_of(data->values[ATT_DOUT], c->out, b, h, i);
    const double *q = row_of(data->values[ATT_Q], c->q, b, h, i);
    double sum = 0;
    for (int64_t j = 0; j < c->Tk; j++) {
        double weight = kept(c, step, b, h, i, j) * p[j];
        const double *v = row_of(data->values[ATT_V], c->v, b, kv, j);
        if (p[j] < 0) continue;
        add_scaled(out, weight, v, HS);
        add_scaled(row_of(data->values[ATT_DV], c->v, b, kv, j), weight, dout, HS);
        sum += weight * dot(dout, v, HS);
    }
    for (int64_t j = 0; j < c->Tk; j++) {
        if (p[j] < 0) continue;
        double mask = kept(c, step, b, h, i, j);
        double ds =
            p[j] * (mask * dot(dout, row_of(data->values[ATT_V], c->v, b, kv, j), HS) - sum);
        if (c->bias == BIAS_ADDITIVE)
            row_of(data->values[ATT_DBIAS], c->bias_layout, b, h, i)[j] += ds;
        const double *k = row_of(data->values[ATT_K], c->k, b, kv, j);
        double slope;
        score_of(c, q, k, &slope);
        ds *= slope;
        add_scaled(dq, ds * (double)c->scale, k, HS);
        add_scaled(row_of(data->values[ATT_DK], c->k, b, kv, j), ds * (double)c->scale, q, HS);
    }
}

void attention_reference(const AttentionCall *c, const StepState *step, AttentionData *data) {
    double *p = malloc((size_t)c->Tk * sizeof *p);
    for (int which = ATT_OUT; which < ATT_TENSORS; which++) {
        memset(data->values[which], 0, (size_t)data->counts[which] * sizeof(double));
    }
    for (int64_t index = 0; p != NULL && index < c->B * c->NH * c->Tq; index++) {
        query_reference(c, step, data, index / c->Tq / c->NH, index / c->Tq % c->NH, index % c->Tq,
                        p);
    }
    free(p);
}

double attention_error(const AttentionData *got, const AttentionData *wanted, int which,
                       double *size) {
    double error = 0, square = 0;
    int64_t count = wanted->counts[which];
    for (int64_t i = 0; i < count; i++) {
        double x = got->values[which][i], y = wanted->values[which][i];
        if (isfinite(y)) square += y * y;
        if (x != y) error += (x - y) * (x - y);
    }
    *size = count == 0 ? 0 : sqrt(square / (double)count);
    return count == 0 ? 0 : sqrt(error / (double)count);
}
