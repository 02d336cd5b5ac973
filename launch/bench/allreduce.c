/* Measures all-reduce, the communication of data-parallel training, from the size of a scalar to
 * that of a large model's gradient.
 *
 * Bus bandwidth is the minimum rate of the busiest link: 2 (n - 1) / n times the bytes over the
 * time for n ranks, for every algorithm. Source: NVIDIA, nccl-tests, doc/PERFORMANCE.md. */
#include "core/bound_program.h"
#include "core/ops/collective.h"
#include "core/perf/timing.h"
#include "launch/bench/bench.h"
#include "launch/config/config_load.h"

static const char default_config[] = "name: bench\n"
                                     "data: {train: none, batch_size: 1}\n"
                                     "training: {stop: {steps: 1}}\n";

enum { LEAST_BYTES = 1 << 10, MOST_BYTES_CPU = 16 << 20, MOST_BYTES_CUDA = 512 << 20, AT_ONCE = 8 };

/* AT_ONCE sums of one vector in sequence: measures the reductions of a step, not the latency of a
 * single launch. */
static Status record(BoundProgram *b, Device *device, const Collectives *collectives,
                     int64_t count) {
    TRY(program_create(device->target, false, &b->program));
    Tensor *x = program_tensor(b->program, BUFFER_GRADIENTS, DTYPE_F32, 1, &count);
    for (int i = 0; i < AT_ONCE; i++)
        all_reduce_record(b->program, collectives, x, "all_reduce of the benchmark");
    collectives_wait_record(b->program, collectives, 0, x);
    TRY(bound_programs_plan(b, 1));
    return bound_programs_bind(b, 1, device, "the benchmark");
}

static Status measure(Experiment *e, size_t bytes, int64_t repeats, Spread *seconds) {
    BoundProgram b = {0};
    Status status = world_agree(
        e->world, record(&b, e->device, &e->collectives, (int64_t)(bytes / sizeof(float))));
    if (!failed(status)) status = program_time_together(e->device, b.program, repeats, seconds);
    if (!failed(status)) status = device_synchronize(e->device);
    if (!failed(status)) gpu_collectives_release(e->gpu);
    bound_programs_destroy(&b, 1);
    seconds->median /= AT_ONCE, seconds->low /= AT_ONCE, seconds->high /= AT_ONCE;
    return status;
}

static void row_print(size_t bytes, int ranks, Spread seconds, const BenchOutput *output) {
    double algorithm = (double)bytes / seconds.median, bus = algorithm * 2 * (ranks - 1) / ranks;
    fprintf(output->table, "%12zu %12.1f %8.1f%% %12.2f %12.2f\n", bytes, 1e6 * seconds.median,
            spread_percent(seconds), 1e-9 * algorithm, 1e-9 * bus);
    fprintf(output->csv, "%d,%zu,%.9f,%.0f,%.0f,%.9f,%.9f\n", ranks, bytes, seconds.median,
            algorithm, bus, seconds.low, seconds.high);
}

static Status table(Experiment *e, const BenchOptions *options, const BenchOutput *output) {
    bool leads = world_rank(e->world) == 0, on_cpu = e->device->target.kind == DEVICE_CPU;
    int ranks = world_size(e->world);
    size_t most = on_cpu ? MOST_BYTES_CPU : MOST_BYTES_CUDA;
    if (leads) {
        fprintf(output->table, "all_reduce of f32 over %d ranks, %s (%s)\n", ranks, e->device->name,
                on_cpu             ? "MPI"
                : e->gpu_is_shared ? "MPI, through the host"
                                   : "between GPUs");
        fprintf(output->table, "%12s %12s %9s %12s %12s\n", "bytes", "us", "spread", "GB/s",
                "bus GB/s");
    }
    fprintf(output->csv,
            "ranks,bytes,seconds,algorithm_bytes_per_s,bus_bytes_per_s,low_s,high_s\n");
    for (size_t bytes = LEAST_BYTES; bytes <= most; bytes *= 2) {
        Spread seconds = {0};
        TRY(measure(e, bytes, options->repeats, &seconds));
        if (leads) row_print(bytes, ranks, seconds, output);
    }
    return OK;
}

static Status prepare(Experiment *e, const BenchOptions *options, Config **config) {
    if (world_size(e->world) == 1) {
        return ERROR(STATUS_USAGE,
                     "bench allreduce measures several ranks: mpirun -np 2 ./bench allreduce");
    }
    TRY(config_load_text(default_config, "bench allreduce", options->override_count,
                         options->overrides, config));
    experiment_configure(e, *config);
    return experiment_open_device(e);
}

/* Rank 0 writes; the output of the other ranks has no file. */
static Status open_output(const BenchOptions *options, FILE *table, BenchOutput *output) {
    bool leads = world_rank(options->world) == 0;
    return bench_output_open(leads ? options->csv : NULL, NULL, table, output);
}

Status bench_allreduce(const BenchOptions *options, FILE *out) {
    Experiment e = {.world = options->world};
    Config *config = NULL;
    BenchOutput output = {0};
    Status status = world_agree(e.world, prepare(&e, options, &config));
    if (!failed(status)) status = experiment_connect(&e);
    if (!failed(status)) status = world_agree(e.world, open_output(options, out, &output));
    if (!failed(status)) {
        (void)watchdog_allow(e.watchdog, 0, "measuring");
        status = table(&e, options, &output);
        if (failed(status)) world_abort(e.world, status);
    }
    Status closed = bench_output_close(&output, status, stderr);
    if (!failed(status)) status = world_agree(e.world, closed);
    experiment_destroy(&e);
    config_destroy(&config);
    return status;
}
