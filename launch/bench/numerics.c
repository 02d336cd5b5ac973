/* Errors against f64 for q and k of growing magnitude. Inputs are rounded to the precision first,
 * so that only the arithmetic is measured. */
#include "launch/bench/numerics_composition.h"

#include "core/convert.h"
#include "core/rng.h"
#include "launch/bench/bench.h"
#include "launch/bench/numerics_table.h"
#include "launch/config/value.h"
#include "nn/attention/standalone.h"

#include <math.h>
#include <stdlib.h>

/* One precision and one magnitude: the inputs, the exact results, and the results. All f64, all (B,
 * T, C) or three times that. */
typedef struct Sample {
    const NumericsShape *shape;
    DType dtype;
    int64_t count; /* B T C */
    double *qkv, *dout, *exact_out, *exact_dqkv, *out, *dqkv;
} Sample;

static Status sample_create(const NumericsShape *shape, Sample *s) {
    *s = (Sample){.shape = shape, .count = shape->B * shape->T * shape->NH * shape->HS};
    double *all = calloc((size_t)s->count * 12, sizeof *all);
    if (all == NULL) return OUT_OF_MEMORY("tensors");
    s->qkv = all;
    s->exact_dqkv = all + 3 * s->count;
    s->dqkv = all + 6 * s->count;
    s->dout = all + 9 * s->count;
    s->exact_out = all + 10 * s->count;
    s->out = all + 11 * s->count;
    return OK;
}

static double normal(uint64_t stream, int64_t i) {
    Philox words = philox(77, (uint64_t)i, stream);
    double radius = sqrt(-2 * log(1 - (double)rng_uniform(words.word[0])));
    return radius * cos(2 * M_PI * (double)rng_uniform(words.word[1]));
}

/* Rounds f64 to the nearest values of the precision. */
static void round_all(DType dtype, double *values, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        double place;
        real_store(&place, dtype, 0, values[i]);
        values[i] = real_load(&place, dtype, 0);
    }
}

/* q and k are normally distributed with standard deviation `magnitude`, v and dout with 1. */
static void sample_draw(Sample *s, DType dtype, double magnitude) {
    int64_t C = s->shape->NH * s->shape->HS;
    s->dtype = dtype;
    for (int64_t i = 0; i < 3 * s->count; i++)
        s->qkv[i] = normal(0, i) * (i % (3 * C) < 2 * C ? magnitude : 1);
    for (int64_t i = 0; i < s->count; i++) s->dout[i] = normal(1, i);
    round_all(dtype, s->qkv, 3 * s->count);
    round_all(dtype, s->dout, s->count);
}

static AttentionCall call_of(const NumericsShape *s, DType dtype) {
    AttentionCall call = attention_call_packed(dtype, s->B, s->T, s->NH, s->HS, 0, true);
    call.causal = s->causal ? CAUSAL_UPPER_LEFT : CAUSAL_NONE;
    return call;
}

static Status put(Device *device, const Tensor *t, const double *values) {
    void *data = malloc(tensor_bytes(t));
    if (data == NULL) return OUT_OF_MEMORY("tensors");
    for (int64_t i = 0; i < tensor_count(t); i++) real_store(data, t->dtype, i, values[i]);
    Status status = device_upload(device, t, data);
    free(data);
    return status;
}

static Status get(Device *device, const Tensor *t, double *values) {
    void *data = malloc(tensor_bytes(t));
    if (data == NULL) return OUT_OF_MEMORY("tensors");
    Status status = device_download(device, data, t);
    for (int64_t i = 0; i < tensor_count(t) && !failed(status); i++)
        values[i] = real_load(data, t->dtype, i);
    free(data);
    return status;
}

static Status sdpa_run(Device *device, const Sample *s, Sdpa *sdpa, double *out, double *dqkv) {
    TRY(sdpa_allocate(sdpa));
    TRY(put(device, sdpa->q, s->qkv));
    TRY(put(device, sdpa->dout, s->dout));
    TRY(sdpa_forward(sdpa));
    TRY(sdpa_backward(sdpa));
    TRY(get(device, sdpa->out, out));
    return get(device, sdpa->dq, dqkv);
}

static Status by_backend(Device *device, const Sample *s, const AttentionBackend *backend,
                         DType dtype, double *out, double *dqkv) {
    Sdpa *sdpa;
    AttentionCall call = call_of(s->shape, dtype);
    TRY(sdpa_plan(device, &call, backend, true, &sdpa));
    Status status = sdpa_run(device, s, sdpa, out, dqkv);
    sdpa_destroy(&sdpa);
    return status;
}

/* math in f64 on the CPU, which the tests compare with finite differences. */
static Status sample_reference(Device *host, Sample *s) {
    const char *refusal;
    AttentionCall call = call_of(s->shape, DTYPE_F64);
    const AttentionBackend *math = attention_row("math", &call, &host->target, &refusal);
    if (math == NULL) return ERROR(STATUS_FAILURE, "no reference: %s", refusal);
    return by_backend(host, s, math, DTYPE_F64, s->exact_out, s->exact_dqkv);
}

static Status compositions_add(const Sample *s, double magnitude, NumericsTable *table) {
    static const char *const names[] = {"unscaled", "pre-scaled"};
    for (int c = COMPOSITION_UNSCALED; c <= COMPOSITION_PRESCALED; c++) {
        TRY(composition_forward((Composition)c, s->shape, s->dtype, s->qkv, s->out));
        double error = relative_error(s->out, s->exact_out, s->count);
        TRY(numerics_table_add(table,
                               (NumericsPoint){names[c], true, s->dtype, magnitude, error, NAN}));
    }
    return OK;
}

static Status backends_add(Device *device, const BenchOptions *options, const Sample *s,
                           double magnitude, NumericsTable *table) {
    const char *name, *refusal;
    AttentionCall call = call_of(s->shape, s->dtype);
    for (int i = 0; (name = bench_backend_name(options, i)) != NULL; i++) {
        const AttentionBackend *backend = attention_row(name, &call, &device->target, &refusal);
        if (backend == NULL) {
            numerics_table_refuse(table, s->dtype, name, refusal);
            continue;
        }
        TRY(by_backend(device, s, backend, s->dtype, s->out, s->dqkv));
        double error = relative_error(s->out, s->exact_out, s->count);
        double gradient = relative_error(s->dqkv, s->exact_dqkv, 3 * s->count);
        TRY(numerics_table_add(table,
                               (NumericsPoint){name, false, s->dtype, magnitude, error, gradient}));
    }
    return OK;
}

static Status precision_run(Device *device, Device *host, const BenchOptions *options, Sample *s,
                            DType dtype, NumericsTable *table) {
    for (int power = NUMERICS_LEAST_POWER; power <= NUMERICS_MOST_POWER; power++) {
        double magnitude = ldexp(1, power);
        sample_draw(s, dtype, magnitude);
        TRY(sample_reference(host, s));
        TRY(compositions_add(s, magnitude, table));
        TRY(backends_add(device, options, s, magnitude, table));
    }
    numerics_table_print(table, dtype);
    return OK;
}

static Status shape_of(const BenchOptions *o, NumericsShape *out) {
    *out = (NumericsShape){.B = 1, .NH = 4, .T = 256, .HS = 64, .causal = o->causal};
    if (o->B > 0) out->B = o->B;
    if (o->NH > 0) out->NH = o->NH;
    if (o->HS > 0) out->HS = o->HS;
    if (o->T == NULL) return OK;
    if (value_parse_int(o->T, &out->T) && out->T >= 1 && out->T <= 1 << 16) return OK;
    return ERROR(STATUS_USAGE, "--T needs one length from 1 to 65536 here, not '%.40s'", o->T);
}

static Status run(Device *device, Device *host, const BenchOptions *options, BenchOutput *output) {
    static const DType precisions[] = {DTYPE_F16, DTYPE_BF16, DTYPE_F32};
    NumericsShape shape;
    Sample sample = {0};
    TRY(shape_of(options, &shape));
    NumericsTable table = {.output = output, .shape = &shape, .device = device->name};
    numerics_table_begin(&table);
    Status status = sample_create(&shape, &sample);
    for (size_t i = 0; i < sizeof precisions / sizeof *precisions && !failed(status); i++) {
        status = precision_run(device, host, options, &sample, precisions[i], &table);
    }
    if (!failed(status)) numerics_table_plot(&table);
    numerics_table_free(&table);
    free(sample.qkv);
    return status;
}

Status bench_numerics(const BenchOptions *options, BenchOutput *output) {
    Device *device = NULL, *host = NULL;
    TRY(bench_check_backends(options));
    TRY(bench_open_device(options, &device));
    Status status = device_open_cpu(0, &host);
    if (!failed(status)) status = run(device, host, options, output);
    device_close(&host);
    device_close(&device);
    return status;
}
