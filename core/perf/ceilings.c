#include "core/perf/ceilings.h"

#include "core/bound_program.h"
#include "core/ops/copy.h"
#include "core/ops/linear.h"
#include "core/perf/cache_file.h"
#include "core/perf/peak.h"
#include "core/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { RUNS = 6 };

/* Measured fractions of the data sheet, on an H200: 790 of 989 TFLOP/s in bf16, 4.2 of 4.8 TB/s. */
static const double share_of_products = 0.80, share_of_single = 0.75, share_of_bytes = 0.875;

/* Random mantissa and sign bits, exponents near 1: products of zeros are faster, because fewer
 * transistors switch. */
static Status fill(Device *device, const Tensor *t) {
    size_t bytes = tensor_bytes(t);
    bool is_half = t->dtype == DTYPE_BF16 || t->dtype == DTYPE_F16;
    uint32_t *words = malloc(bytes);
    if (words == NULL) return OUT_OF_MEMORY("a measurement");
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < bytes / 4; i++) {
        uint32_t bits = philox(1, i / 4, 0).word[i % 4];
        words[i] =
            is_half ? (bits & 0x807F807Fu) | 0x3C003C00u : (bits & 0x807FFFFFu) | 0x3C000000u;
    }
    Status status = device_upload(device, t, words);
    free(words);
    return status;
}

/* The fastest replay, after a warm-up. */
static Status fastest(Device *device, const Program *p, double *seconds) {
    OpTime time;
    *seconds = INFINITY;
    for (int i = 0; i <= RUNS; i++) {
        TRY(device_profile(device, p, &time));
        if (i > 0 && time.duration_s < *seconds) *seconds = time.duration_s;
    }
    return OK;
}

static Status copy_measure(Device *device, double *bytes_per_s) {
    BoundProgram b = {0};
    double seconds = INFINITY;
    int64_t count =
        device->target.kind == DEVICE_CPU ? 8 << 20 : 128 << 20; /* f32; exceeds any cache */
    TRY(program_create(device->target, false, &b.program));
    Tensor *x = program_tensor(b.program, BUFFER_INPUTS, DTYPE_F32, 1, (int64_t[]){count});
    Tensor *y = program_tensor(b.program, BUFFER_ACTIVATIONS, DTYPE_F32, 1, (int64_t[]){count});
    copy_record(b.program, y, x, false);
    Status status = bound_programs_plan(&b, 1);
    if (!failed(status)) status = bound_programs_bind(&b, 1, device, "a measurement");
    if (!failed(status)) status = fastest(device, b.program, &seconds);
    bound_programs_destroy(&b, 1);
    *bytes_per_s = 8.0 * (double)count / seconds;
    return status;
}

static Status product_time(Device *device, BoundProgram *b, const Tensor *x, const Tensor *w,
                           double *seconds) {
    TRY(bound_programs_plan(b, 1));
    TRY(bound_programs_bind(b, 1, device, "a measurement"));
    TRY(fill(device, x));
    TRY(fill(device, w));
    return fastest(device, b->program, seconds);
}

Status ceilings_product(Device *device, DType dtype, double *flops_per_s) {
    BoundProgram b = {0};
    double seconds = INFINITY;
    bool autotune = device->autotune;
    int64_t n = device->target.kind == DEVICE_CPU ? 1024 : dtype == DTYPE_F32 ? 4096 : 8192;
    TRY(program_create(device->target, false, &b.program));
    Tensor *x = program_tensor(b.program, BUFFER_INPUTS, dtype, 2, (int64_t[]){n, n});
    Tensor *w = program_tensor(b.program, BUFFER_INPUTS, dtype, 2, (int64_t[]){n, n});
    linear_record(b.program, x, w, NULL, false);
    device->autotune = false; /* cuBLASLt's first suggestion is best at this size */
    Status status = product_time(device, &b, x, w, &seconds);
    device->autotune = autotune;
    bound_programs_destroy(&b, 1);
    *flops_per_s = 2.0 * (double)n * (double)n * (double)n / seconds;
    return status;
}

static Status measure(Device *device, DType dtype, Ceilings *out) {
    TRY(copy_measure(device, &out->bytes));
    TRY(ceilings_product(device, dtype, &out->flops));
    out->measured = true;
    return OK;
}

static const char *kind_of(const Device *device, DType dtype) {
    return device->tf32 && dtype == DTYPE_F32 ? "tf32" : dtype_name(dtype);
}

static bool ceilings_parse(const char *value, void *out) {
    Ceilings *ceilings = out;
    ceilings->measured = sscanf(value, "%lf %lf", &ceilings->flops, &ceilings->bytes) == 2 &&
                         ceilings->flops > 0 && ceilings->bytes > 0;
    return ceilings->measured;
}

static Ceilings from_data_sheet(const Device *device, DType dtype) {
    double flops = dtype != DTYPE_F32 ? share_of_products * device->peak_flops
                   : device->tf32     ? share_of_products * device->peak_flops / 2
                                      : share_of_single * device->peak_flops_f32;
    return (Ceilings){
        .flops = flops, .bytes = share_of_bytes * device->peak_bytes, .tf32 = device->tf32};
}

/* From the file, or measured and added to it; false if neither is possible. */
static bool find_measured(Device *device, DType dtype, bool may_measure, int cache, Ceilings *out) {
    char value[64];
    const char *kind = kind_of(device, dtype);
    if (cache_find(cache, kind, ceilings_parse, out)) return true;
    if (!may_measure || failed(measure(device, dtype, out))) return false;
    snprintf(value, sizeof value, "%.4g %.4g", out->flops, out->bytes);
    cache_add(cache, kind, value);
    return true;
}

Ceilings ceilings_find(Device *device, DType dtype, bool may_measure) {
    Ceilings found = {0};
    if (device->planning_bytes > 0) return from_data_sheet(device, dtype);
    bool is_kept = device->target.kind == DEVICE_CUDA; /* CPU load varies, so do not cache */
    int cache = is_kept ? cache_lock("ceilings", device->name, "1") : -1;
    bool has_some = find_measured(device, dtype, may_measure, cache, &found);
    cache_unlock(cache);
    if (!has_some) return from_data_sheet(device, dtype);
    found.tf32 = device->tf32;
    return found;
}

double ceilings_share(const Ceilings *ceilings, const Cost *cost, double seconds) {
    if (ceilings->flops <= 0 || ceilings->bytes <= 0 || seconds <= 0) return 0;
    return fmax(cost->flops / ceilings->flops, cost->bytes / ceilings->bytes) / seconds;
}
