/* Measures every attention backend on one call, forward only and with backward. The default is the
 * model's call on its packed projection. */
#include "launch/bench/attention_case.h"

#include <math.h>
#include <string.h>

/* Forward alone is timed as in evaluation; with backward, as in training. If the device has too
 * little memory, row->refusal says so. */
static Status measure_one(Device *device, AttentionCase *c, const AttentionBackend *backend,
                          bool backward, int64_t repeats, Spread *seconds, AttentionRow *row) {
    Sdpa *sdpa;
    AttentionCall call = c->call;
    bool fits;
    call.training = backward;
    if (!backward) call.dropout = 0;
    TRY(sdpa_plan(device, &call, backend, c->packed, &sdpa));
    Status status = sdpa_allocate_trial(sdpa, &fits);
    if (!failed(status) && fits) status = attention_case_upload(c, sdpa);
    if (!failed(status) && fits) status = sdpa_time(sdpa, repeats, INFINITY, seconds);
    if (!failed(status) && !fits) row->refusal = "the device's memory is too small for it";
    row->bytes = sdpa->backend_bytes;
    sdpa_destroy(&sdpa);
    return status;
}

static Status row_measure(Device *device, AttentionCase *c, const char *name, int64_t repeats,
                          AttentionRow *row) {
    *row = (AttentionRow){.name = name, .T = c->call.Tq, .documents = c->documents};
    snprintf(row->mask, sizeof row->mask, "%s", c->mask);
    const AttentionBackend *backend = attention_row(name, &c->call, &device->target, &row->refusal);
    if (backend == NULL) return OK;
    TRY(measure_one(device, c, backend, false, repeats, &row->forward, row));
    if (row->refusal != NULL) return OK;
    TRY(measure_one(device, c, backend, true, repeats, &row->both, row));
    double product = 2.0 * c->pairs * (double)c->call.HS;
    row->forward_flops = 2 * product; /* as in attention_forward_cost */
    row->both_flops = 7 * product;
    return OK;
}

static Status case_run(Device *device, AttentionCase *c, const BenchOptions *options,
                       AttentionTable *table) {
    const char *name;
    for (int i = 0; (name = bench_backend_name(options, i)) != NULL; i++) {
        AttentionRow row;
        TRY(row_measure(device, c, name, options->repeats, &row));
        TRY(attention_table_add(table, &row));
    }
    return OK;
}

/* Whether any backend accepts the call; otherwise nothing is measured. */
static bool anything_runs(const Device *device, const BenchOptions *options,
                          const AttentionCase *c) {
    const char *name, *refusal;
    for (int i = 0; (name = bench_backend_name(options, i)) != NULL; i++) {
        if (attention_row(name, &c->call, &device->target, &refusal) != NULL) return true;
    }
    return false;
}

/* The calls to measure: one per length, and if requested one more with documents. */
typedef struct Cases {
    AttentionCase all[2 * ATTENTION_MOST_LENGTHS];
    int count;
} Cases;

static Status cases_make(const AttentionShape *shape, const BenchOptions *options, bool is_cpu,
                         Cases *cases) {
    int64_t lengths[ATTENTION_MOST_LENGTHS] = {is_cpu ? 512 : 1024};
    int count = 1;
    if (options->T != NULL) TRY(attention_lengths_parse("T", options->T, lengths, &count));
    for (int i = 0; i < count; i++) {
        for (int kind = 0; kind <= (options->documents > 0); kind++) {
            int64_t documents = kind > 0 ? options->documents : 0;
            TRY(attention_case_of(shape, lengths[i], documents, &cases->all[cases->count++]));
        }
    }
    return OK;
}

static Status run(Device *device, const BenchOptions *options, Cases *cases,
                  AttentionTable *table) {
    TRY(attention_shape_of(options, device, &table->shape));
    TRY(cases_make(&table->shape, options, device->target.kind == DEVICE_CPU, cases));
    bool runs = anything_runs(device, options, &cases->all[0]);
    if (runs) TRY(ceilings_product(device, table->shape.dtype, &table->product_rate));
    table->mask_width = (int)strlen(cases->all[cases->count - 1].mask);
    attention_table_begin(table);
    for (int i = 0; i < cases->count; i++) {
        TRY(case_run(device, &cases->all[i], options, table));
        attention_case_free(&cases->all[i]);
    }
    attention_table_plot(table);
    return runs ? OK : ERROR(STATUS_CONFIG, "no backend takes this call on this device");
}

Status bench_attention(const BenchOptions *options, BenchOutput *output) {
    Device *device = NULL;
    AttentionTable table = {.output = output};
    Cases cases = {0};
    TRY(bench_check_backends(options));
    Status status = bench_open_device(options, &device);
    if (!failed(status)) status = run(device, options, &cases, &table);
    for (int i = 0; i < cases.count; i++) attention_case_free(&cases.all[i]);
    attention_table_free(&table);
    device_close(&device);
    return status;
}
