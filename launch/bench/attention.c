/* Every attention backend on the packed projection of the model, forward alone and with its backward. */
#include "launch/bench/attention_table.h"
#include "launch/bench/bench.h"
#include "launch/bench/documents.h"
#include "launch/config/value.h"
#include "nn/attention/trial.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_LENGTHS = 16 };

/* A row's call, and how many pairs of query and key it sees. */
typedef struct Case {
    AttentionCall call;
    int64_t documents; /* their mean length; 0: none */
    int32_t *ranges;   /* of them */
    double pairs;
} Case;

static AttentionCall call_of(const AttentionShape *s, int64_t T, bool training, bool documents) {
    AttentionCall call = attention_call_packed(s->dtype, s->B, T, s->NH, s->HS, 0, training);
    call.causal = s->causal ? CAUSAL_UPPER_LEFT : CAUSAL_NONE;
    call.window = s->window;
    call.ranges = documents;
    return call;
}

static Status case_create(const AttentionShape *s, int64_t T, int64_t documents, Case *c) {
    *c = (Case){.call = call_of(s, T, true, documents > 0), .documents = documents};
    for (int64_t i = 0; i < T; i++) {
        int64_t first, end;
        attention_visible(&c->call, i, &first, &end);
        c->pairs += (double)s->B * (double)(end - first);
    }
    if (documents == 0) return OK;
    c->ranges = malloc((size_t)(2 * s->B * T) * sizeof *c->ranges);
    if (c->ranges == NULL) return ERROR(STATUS_FAILURE, "out of memory for documents");
    documents_draw(s->B, T, documents, 1, c->ranges, &c->pairs);
    return OK;
}

/* A forward pass alone is timed as evaluation runs it; with its backward, as training does. Where the device has no
 * room, *refusal says so. */
static Status measure_one(Device *device, const Case *c, const AttentionBackend *backend, bool backward,
                          int64_t repeats, double *seconds, AttentionRow *row) {
    AttentionTrial trial;
    AttentionCall call = c->call;
    size_t free_bytes = 0, total_bytes;
    call.training = backward;
    Status status = attention_trial_create(device, &call, backend, backward, &trial);
    TRY_ELSE(status, device_memory(device, &free_bytes, &total_bytes), done);
    if (attention_trial_bytes(&trial) >= free_bytes) {
        row->refusal = "the device's memory is too small for it";
        goto done;
    }
    TRY_ELSE(status, attention_trial_bind(&trial), done);
    if (c->ranges != NULL) {
        TRY_ELSE(status, device_upload(device, trial.key_ranges, c->ranges), done);
        TRY_ELSE(status, device_upload(device, trial.query_ranges, c->ranges), done);
    }
    TRY_ELSE(status, bench_time(device, trial.program, repeats, seconds), done);
    row->bytes = trial.plan->bytes;
done:
    attention_trial_destroy(&trial);
    return status;
}

static Status row_measure(Device *device, const Case *c, const char *name, int64_t repeats, AttentionRow *row) {
    *row = (AttentionRow){.name = name, .T = c->call.Tq, .documents = c->documents};
    const AttentionBackend *backend = bench_backend_row(name, &c->call, &device->target, &row->refusal);
    double scale = 2.0 * c->pairs * (double)c->call.NH * (double)c->call.HS;
    row->forward_flops = 2 * scale; /* products, as in attention_forward_cost */
    row->both_flops = 7 * scale;
    if (backend == NULL) return OK;
    TRY(measure_one(device, c, backend, false, repeats, &row->forward_s, row));
    return row->refusal != NULL ? OK : measure_one(device, c, backend, true, repeats, &row->both_s, row);
}

static Status case_run(Device *device, const Case *c, const BenchOptions *options, AttentionTable *table) {
    const char *name;
    for (int i = 0; (name = bench_backend_name(options, i)) != NULL; i++) {
        AttentionRow row;
        TRY(row_measure(device, c, name, options->repeats, &row));
        TRY(attention_table_add(table, &row));
    }
    return OK;
}

static Status length_run(Device *device, const BenchOptions *options, int64_t T, AttentionTable *table) {
    for (int documents = 0; documents <= (options->documents > 0); documents++) {
        Case c;
        Status status = case_create(&table->shape, T, documents > 0 ? options->documents : 0, &c);
        if (!failed(status)) status = case_run(device, &c, options, table);
        free(c.ranges);
        TRY(status);
    }
    return OK;
}

/* "128,256,512" */
static Status lengths_parse(const char *text, int64_t *lengths, int *count) {
    *count = 0;
    while (*text != '\0') {
        char word[24];
        size_t bytes = strcspn(text, ",");
        snprintf(word, sizeof word, "%.*s", (int)bytes, text);
        if (*count == MOST_LENGTHS) return ERROR(STATUS_USAGE, "--T takes up to %d lengths", MOST_LENGTHS);
        bool is_length = bytes < sizeof word && value_parse_int(word, &lengths[*count]);
        if (!is_length || lengths[*count] < 1 || lengths[*count] > 1 << 24) {
            return ERROR(STATUS_USAGE, "--T needs lengths from 1 to %d, such as 1024 or 512,1024, not '%.40s'", 1 << 24,
                         word);
        }
        ++*count;
        text += bytes + (text[bytes] == ',');
    }
    return OK;
}

static DType dtype_of(const BenchOptions *options, bool is_cpu) {
    switch ((BenchDtype)options->dtype) {
    case BENCH_DTYPE_AUTO: return is_cpu ? DTYPE_F32 : DTYPE_F16;
    case BENCH_DTYPE_F16: return DTYPE_F16;
    case BENCH_DTYPE_BF16: return DTYPE_BF16;
    case BENCH_DTYPE_F64: return DTYPE_F64;
    case BENCH_DTYPE_F32:
    case BENCH_DTYPE_TF32: break;
    }
    return DTYPE_F32;
}

static int64_t given_or(int64_t given, int64_t otherwise) { return given > 0 ? given : otherwise; }

/* The tutorial's call; on the CPU one that ends in seconds. */
static AttentionShape shape_of(const BenchOptions *o, const Device *device) {
    bool is_cpu = device->target.kind == DEVICE_CPU;
    return (AttentionShape){
        .device = device->name,
        .is_reduced = is_cpu && o->B + o->NH + o->HS == 0 && o->T == NULL,
        .B = given_or(o->B, is_cpu ? 2 : 32),
        .NH = given_or(o->NH, is_cpu ? 8 : 32),
        .HS = given_or(o->HS, 32),
        .dtype = dtype_of(o, is_cpu),
        .tf32 = device->tf32,
        .causal = o->causal || o->window > 0 || o->documents > 0,
        .window = o->window,
        .repeats = o->repeats,
    };
}

/* Whether any backend takes the call: nothing is measured otherwise. */
static bool anything_runs(const Device *device, const BenchOptions *options, const AttentionShape *shape, int64_t T) {
    AttentionCall call = call_of(shape, T, true, false);
    const char *name, *refusal;
    for (int i = 0; (name = bench_backend_name(options, i)) != NULL; i++) {
        if (bench_backend_row(name, &call, &device->target, &refusal) != NULL) return true;
    }
    return false;
}

static Status run(Device *device, const BenchOptions *options, AttentionTable *table) {
    int64_t lengths[MOST_LENGTHS] = {device->target.kind == DEVICE_CPU ? 512 : 1024};
    int count = 1;
    table->shape = shape_of(options, device);
    if (options->T != NULL) TRY(lengths_parse(options->T, lengths, &count));
    bool runs = anything_runs(device, options, &table->shape, lengths[0]);
    if (runs) TRY(bench_product_rate(device, table->shape.dtype, &table->product_rate));
    attention_table_begin(table);
    for (int i = 0; i < count; i++) TRY(length_run(device, options, lengths[i], table));
    attention_table_plot(table);
    return runs ? OK : ERROR(STATUS_CONFIG, "no backend takes this call on this device");
}

Status bench_attention(const BenchOptions *options, BenchOutput *output) {
    Device *device = NULL;
    AttentionTable table = {.output = output};
    TRY(bench_check_backends(options));
    Status status = bench_open_device(options, &device);
    if (!failed(status)) status = run(device, options, &table);
    attention_table_free(&table);
    device_close(&device);
    return status;
}
