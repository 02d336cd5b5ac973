/* Every attention backend on the packed projection of the model, forward alone and with its backward. */
#include "launch/bench/bench.h"

#include "core/autodiff.h"

#include <string.h>

typedef struct Case {
    int64_t B, NH, T, HS;
    DType dtype;
} Case;

typedef struct Row {
    double forward_s, both_s, forward_flops, both_flops;
    size_t bytes; /* that the plan takes for forward and backward beyond q, k, v, out and their gradients */
} Row;

/* Records attention over a qkv of its own, and backward from a gradient of its own. */
static Status record(BenchProgram *b, const Case *c, const AttentionChoice *choice, bool backward, Tensor **qkv,
                     Tensor **dout) {
    TRY(program_create(b->device->target, backward, &b->program));
    Program *p = b->program;
    int64_t C = c->NH * c->HS;
    *qkv = program_tensor(p, BUFFER_INPUTS, c->dtype, 3, (int64_t[]){c->B, c->T, 3 * C});
    if (*qkv != NULL) (*qkv)->needs_grad = backward;
    Tensor *step = program_tensor(p, BUFFER_INPUTS, DTYPE_U8, 1, (int64_t[]){sizeof(StepState)});
    AttentionOptions options = {.choice = choice, .step = step};
    Tensor *out = attention_record(p, *qkv, c->NH, &options);
    if (!backward) return program_status(p);
    *dout = program_tensor_like(p, BUFFER_INPUTS, out);
    autodiff_watch(p, out, *dout, true);
    autodiff_run(p);
    return program_status(p);
}

static double flops_of(const Program *p) {
    double flops = 0;
    for (int i = 0; i < p->n_nodes; i++) flops += node_cost(p->nodes[i]).flops;
    return flops;
}

static Status measure_one(Device *device, const Case *c, const AttentionChoice *choice, bool backward, int64_t repeats,
                          double *seconds, double *flops, size_t *bytes) {
    BenchProgram b = {.device = device};
    Tensor *qkv = NULL, *dout = NULL;
    Status status = record(&b, c, choice, backward, &qkv, &dout);
    if (!failed(status)) status = bench_program_bind(&b);
    if (!failed(status)) status = bench_fill(device, qkv, 1);
    if (!failed(status) && backward) status = bench_fill(device, dout, 2);
    if (!failed(status)) status = bench_time(device, b.program, repeats, seconds);
    if (!failed(status)) {
        *flops = flops_of(b.program);
        *bytes = b.plan->bytes;
    }
    bench_program_destroy(&b);
    return status;
}

static Status measure(Device *device, const Case *c, const char *name, int64_t repeats, Row *row) {
    AttentionChoice choice = {.count = 1, .names = {name}};
    size_t forward_bytes = 0;
    TRY(measure_one(device, c, &choice, false, repeats, &row->forward_s, &row->forward_flops, &forward_bytes));
    TRY(measure_one(device, c, &choice, true, repeats, &row->both_s, &row->both_flops, &row->bytes));
    size_t tensors = (size_t)(c->B * c->T * c->NH * c->HS) * 8 * dtype_size(c->dtype);
    row->bytes = row->bytes > tensors ? row->bytes - tensors : 0;
    return OK;
}

static void row_print(FILE *out, FILE *csv, const Case *c, const char *name, const Row *row) {
    const char format[] = "%4lld %4lld %6lld %4lld  %-14s %10.2f %10.2f %10.1f %10.1f %10.1f\n";
    double forward = 1e-9 * row->forward_flops / row->forward_s, both = 1e-9 * row->both_flops / row->both_s;
    fprintf(out, format, (long long)c->B, (long long)c->NH, (long long)c->T, (long long)c->HS, name,
            1e3 * row->forward_s, 1e3 * row->both_s, forward, both, (double)row->bytes / 0x1p20);
    if (csv != NULL) {
        fprintf(csv, "%lld,%lld,%lld,%lld,%s,%.6f,%.6f,%.3f,%.3f,%zu\n", (long long)c->B, (long long)c->NH,
                (long long)c->T, (long long)c->HS, name, 1e3 * row->forward_s, 1e3 * row->both_s, forward, both,
                row->bytes);
    }
}

/* Each name of the table once: the picker takes its row for this device. */
static bool is_first_of_name(int index) {
    for (int i = 0; i < index; i++) {
        if (strcmp(attention_backends[i]->name, attention_backends[index]->name) == 0) return false;
    }
    return true;
}

static Status case_run(Device *device, const Case *c, int64_t repeats, FILE *out, FILE *csv) {
    for (int i = 0; attention_backends[i] != NULL; i++) {
        const char *name = attention_backends[i]->name;
        Row row = {0};
        if (!is_first_of_name(i)) continue;
        Status status = measure(device, c, name, repeats, &row);
        if (status.code == STATUS_CONFIG)
            fprintf(out, "%-28s%-14s %s\n", "", name, status_message());
        else if (failed(status))
            return status;
        else
            row_print(out, csv, c, name, &row);
    }
    return OK;
}

static Status cases_run(Device *device, const BenchOptions *options, FILE *out, FILE *csv) {
    static const int64_t lengths[] = {128, 256, 512, 1024, 2048};
    Case c = {1, 12, 0, 64, device->target.kind == DEVICE_CPU ? DTYPE_F32 : DTYPE_BF16};
    if (options->B > 0) c.B = options->B;
    if (options->NH > 0) c.NH = options->NH;
    if (options->HS > 0) c.HS = options->HS;
    fprintf(out, "%s, causal, %s; GFLOP/s count visible keys only; MiB: beyond q, k, v, out and their gradients\n",
            device->name, dtype_name(c.dtype));
    fprintf(out, "%4s %4s %6s %4s  %-14s %10s %10s %10s %10s %10s\n", "B", "NH", "T", "HS", "backend", "fwd ms",
            "fwd+bwd ms", "fwd GF/s", "all GF/s", "MiB");
    if (csv != NULL) fprintf(csv, "B,NH,T,HS,backend,forward_ms,both_ms,forward_gflops,both_gflops,bytes\n");
    if (options->T > 0) {
        c.T = options->T;
        return case_run(device, &c, options->repeats, out, csv);
    }
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        c.T = lengths[i];
        TRY(case_run(device, &c, options->repeats, out, csv));
    }
    return OK;
}

Status bench_attention(const BenchOptions *options, FILE *out) {
    Device *device = NULL;
    if (device_count_cuda() > 0)
        TRY(device_open_cuda(0, &device));
    else
        TRY(device_open_cpu(0, &device));
    FILE *csv = options->csv == NULL ? NULL : fopen(options->csv, "w");
    Status status = options->csv != NULL && csv == NULL ? ERROR(STATUS_FAILURE, "%s: cannot write", options->csv)
                                                        : cases_run(device, options, out, csv);
    if (csv != NULL && fclose(csv) != 0 && !failed(status)) {
        status = ERROR(STATUS_FAILURE, "%s: cannot write", options->csv);
    }
    device_close(&device);
    return status;
}
