#include "core/clock.h"
#include "core/ops/linear.h"
#include "core/rng.h"
#include "launch/bench/bench.h"

#include <math.h>
#include <stdlib.h>

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y ? 1 : 0;
}

static Status replay_timed(Device *device, const Program *p, double *seconds) {
    double start = clock_seconds();
    TRY(device_replay(device, p));
    TRY(device_synchronize(device));
    *seconds = clock_seconds() - start;
    return OK;
}

Status bench_time(Device *device, const Program *p, int64_t repeats, double *seconds) {
    double *times = malloc((size_t)repeats * sizeof *times);
    if (times == NULL) return ERROR(STATUS_FAILURE, "out of memory for timings");
    Status status = replay_timed(device, p, times);
    for (int64_t i = 0; i < repeats && !failed(status); i++) status = replay_timed(device, p, &times[i]);
    qsort(times, (size_t)repeats, sizeof *times, ascending);
    *seconds = times[repeats / 2];
    free(times);
    return status;
}

Status bench_program_bind(BenchProgram *b) {
    TRY(program_status(b->program));
    TRY(plan_create(b->program, &b->plan));
    TRY(device_alloc(b->device, b->plan->bytes, "the benchmark", &b->arena));
    plan_bind(b->plan, b->program, b->arena);
    return OK;
}

void bench_program_destroy(BenchProgram *b) {
    if (b->plan != NULL) device_free(b->device, b->arena, b->plan->bytes);
    plan_destroy(&b->plan);
    program_destroy(&b->program);
}

static void value_store(void *data, DType dtype, int64_t i, float value) {
    union {
        float f;
        uint32_t u;
    } bits = {value};
    switch (dtype) {
    case DTYPE_F64: ((double *)data)[i] = (double)value; break;
    case DTYPE_F16: ((_Float16 *)data)[i] = (_Float16)value; break;
    case DTYPE_BF16: ((uint16_t *)data)[i] = (uint16_t)(bits.u >> 16); break;
    default: ((float *)data)[i] = value;
    }
}

Status bench_fill(Device *device, const Tensor *t, uint64_t seed) {
    int64_t count = tensor_count(t);
    void *values = malloc(tensor_bytes(t));
    if (values == NULL) return ERROR(STATUS_FAILURE, "out of memory for inputs");
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < count; i++) {
        Philox words = philox(seed, (uint64_t)i, 0);
        double radius = sqrt(-2.0 * log(1.0 - (double)rng_uniform(words.word[0])));
        value_store(values, t->dtype, i, (float)(radius * cos(2.0 * M_PI * (double)rng_uniform(words.word[1]))));
    }
    Status status = device_upload(device, t, values);
    free(values);
    return status;
}

Status bench_product_rate(Device *device, DType dtype, double *flops_per_s) {
    int64_t n = device->target.kind == DEVICE_CPU ? 2048 : 8192;
    BenchProgram b = {.device = device};
    TRY(program_create(device->target, false, &b.program));
    Tensor *x = program_tensor(b.program, BUFFER_INPUTS, dtype, 2, (int64_t[]){n, n});
    Tensor *w = program_tensor(b.program, BUFFER_INPUTS, dtype, 2, (int64_t[]){n, n});
    linear_record(b.program, x, w, NULL, false);
    double seconds = 1;
    Status status = bench_program_bind(&b);
    if (!failed(status)) status = bench_fill(device, x, 1);
    if (!failed(status)) status = bench_fill(device, w, 2);
    if (!failed(status)) status = bench_time(device, b.program, 10, &seconds);
    bench_program_destroy(&b);
    *flops_per_s = 2.0 * (double)n * (double)n * (double)n / seconds;
    return status;
}
