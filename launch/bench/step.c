/* One optimizer step on random tokens: the cost of training without reading data. */
#include "core/perf/timing.h"
#include "launch/bench/bench.h"
#include "launch/config/config_load.h"
#include "launch/run/experiment_plan.h"
#include "launch/run/profile.h"

#include <math.h>
#include <stdlib.h>

static const char default_config[] = "name: bench\n"
                                     "data: {train: none, batch_size: 4}\n"
                                     "model: {preset: gpt2, block_size: 256}\n"
                                     "attention: {backends: [flash, math]}\n"
                                     "training: {stop: {steps: 1}}\n";

Status bench_step_inputs(Experiment *e) {
    int64_t count = tensor_count(e->recorded.step.tokens), V = e->resolved.vocab_size;
    int32_t *tokens = malloc((size_t)count * sizeof *tokens);
    if (tokens == NULL) return OUT_OF_MEMORY("tokens");
    for (int64_t i = 0; i < count; i++)
        tokens[i] = (int32_t)((uint64_t)i * 2654435761u % (uint64_t)V);
    StepState state = {.seed = 1, .adam_step = 1, .lr = 1e-5f, .loss_scale = 1};
    Status status = device_upload(e->device, e->recorded.step.tokens, tokens);
    if (!failed(status)) status = device_upload(e->device, e->recorded.step.targets, tokens);
    if (!failed(status)) status = device_upload(e->device, e->recorded.step.step, &state);
    free(tokens);
    return status;
}

static double program_flops(const Program *p) {
    double flops = 0;
    for (int i = 0; i < p->n_nodes; i++) flops += node_cost(p->nodes[i]).flops;
    return flops;
}

typedef struct Memory {
    double planned, taken; /* bytes; taken: 0 if unknown */
} Memory;

/* Without the memory of other processes, if that is known. */
static Memory memory_of(const Experiment *e) {
    Memory memory = {.planned = (double)e->planned.bytes};
    size_t free_bytes, total_bytes;
    if (e->device->target.kind == DEVICE_CUDA &&
        !failed(device_memory(e->device, &free_bytes, &total_bytes)))
        memory.taken = (double)(total_bytes - free_bytes - e->device->others_bytes);
    return memory;
}

static double memory_error(Memory m) { return m.taken > 0 ? fabs(m.taken / m.planned - 1) : 0; }

/* On rank 0: the memory of the rank whose plan is furthest off. Collective. */
static Status memory_find(const Experiment *e, Memory *worst, int *rank) {
    Memory mine = memory_of(e), *all = calloc((size_t)world_size(e->world), sizeof *all);
    Status status = world_agree(e->world, all == NULL ? OUT_OF_MEMORY("the ranks' memory") : OK);
    if (!failed(status)) status = world_gather(e->world, &mine, sizeof mine, all);
    *rank = 0;
    for (int i = 1; !failed(status) && i < world_size(e->world); i++) {
        if (memory_error(all[i]) > memory_error(all[*rank])) *rank = i;
    }
    *worst = failed(status) ? mine : all[*rank];
    free(all);
    return status;
}

/* Compares the plan and the prediction with the measured values. Collective. */
static Status memory_report(const Experiment *e, FILE *out) {
    Memory worst;
    int rank;
    TRY(memory_find(e, &worst, &rank));
    if (world_rank(e->world) != 0) return OK;
    fprintf(out, "%.1f MiB planned", worst.planned / 0x1p20);
    if (worst.taken > 0) fprintf(out, ", %.1f MiB taken", worst.taken / 0x1p20);
    if (worst.taken > 0 && world_size(e->world) > 1)
        fprintf(out, " (rank %d, the furthest off)", rank);
    if (e->planned.seconds[0] > 0)
        fprintf(out, " | %.2f ms a step predicted", 1e3 * e->planned.seconds[0]);
    fputs("\n", out);
    return OK;
}

static void report(const Experiment *e, Spread spread, double rate, FILE *out) {
    double flops = program_flops(e->recorded.training->programs[MICRO_ONLY].program),
           tokens = (double)experiment_tokens_per_step(e), seconds = spread.median;
    fprintf(out, "%s x %d, %d threads | GPT %lld layers, C %lld, B %lld, T %lld | attention %s\n",
            e->device->name, world_size(e->world), e->device->target.threads,
            (long long)e->config->model.L, (long long)e->config->model.C,
            (long long)e->resolved.batch_size, (long long)e->T, e->planned.attention);
    fprintf(out,
            "%.2f ms a step (%.2f to %.2f) | %.0f tokens/s | %.1f GFLOP/s, %.1f%% of the device's "
            "own product rate of %.1f\n",
            1e3 * seconds, 1e3 * spread.low, 1e3 * spread.high, tokens / seconds,
            1e-9 * flops / seconds, 100 * flops / seconds / rate, 1e-9 * rate);
}

/* Every rank measures, because a step is collective; rank 0 prints. */
static Status measure(Experiment *e, const BenchOptions *options, FILE *out) {
    Spread seconds = {0};
    double rate = 1;
    TRY(ceilings_product(e->device, config_dtype(e->config), &rate));
    TRY(program_time_together(e->device, e->recorded.training->programs[MICRO_ONLY].program,
                              options->repeats, &seconds));
    if (world_rank(e->world) == 0) report(e, seconds, rate, out);
    TRY(memory_report(e, out));
    return profile_step(e, world_rank(e->world) == 0 ? out : NULL, NULL);
}

static Status open_device(Experiment *e, const Config *config) {
    experiment_configure(e, config);
    if (e->resolved.vocab_size == CONFIG_AUTO) e->resolved.vocab_size = GPT2_VOCAB;
    if (config->training.gradient_accumulation_steps != 1 ||
        config->training.batch_schedule.count > 0) {
        return ERROR(STATUS_CONFIG,
                     "bench step measures one micro-batch: training.gradient_accumulation_steps is "
                     "1, without training.batch_schedule");
    }
    TRY(experiment_open_device(e));
    e->ceilings = ceilings_find(e->device, config_dtype(e->config),
                                true); /* for the prediction of the plan, too */
    return OK;
}

static Status allocate(Experiment *e) {
    TRY(experiment_allocate(e));
    return bench_step_inputs(e);
}

static Status prepare(Experiment *e, const Config *config) {
    TRY(world_agree(e->world, open_device(e, config)));
    TRY(experiment_connect(e));
    TRY(world_agree(e->world, experiment_plan(e)));
    TRY(world_agree(e->world, allocate(e)));
    (void)watchdog_allow(e->watchdog, 0, "measuring");
    return OK;
}

Status bench_step(const BenchOptions *options, FILE *out) {
    Experiment e = {.world = options->world};
    Config *config = NULL;
    Status status =
        world_agree(e.world, config_load_text(default_config, "bench step", options->override_count,
                                              options->overrides, &config));
    if (!failed(status)) status = prepare(&e, config);
    if (!failed(status)) {
        status = measure(&e, options, out);
        if (failed(status) && world_size(e.world) > 1) world_abort(e.world, status);
    }
    experiment_destroy(&e);
    config_destroy(&config);
    return status;
}
