/* The ladder of "Accelerating Large Language Models with Accelerated Transformers" (PyTorch blog,
 * 2023): one training step with each attention backend in turn, then with the vocabulary padded to
 * a multiple of 64. Its figures were measured with nanoGPT's GPT-2 124M under torch.compile on one
 * A100 (80 GB). */
#include "core/perf/timing.h"
#include "launch/bench/bench.h"
#include "launch/config/config_load.h"
#include "launch/run/experiment_plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Rung {
    const char *name, *backend;
    int64_t pad_vocab;
    double article_ms;
} Rung;

static const Rung rungs[] = {
    {"baseline", "baseline", 1, 143},           {"math", "math", 1, 134},
    {"mem_efficient", "mem_efficient", 1, 119}, {"flash", "flash", 1, 113},
    {"flash, padded", "flash", 64, 87},
};
enum { RUNGS = sizeof rungs / sizeof *rungs };

typedef struct Result {
    char *refusal; /* NULL: it was measured */
    Spread seconds;
    double tokens;
    size_t bytes;
    int64_t vocabulary;
} Result;

static const char gpu_config[] = "name: ladder\n"
                                 "data: {train: none, batch_size: 12}\n"
                                 "model: {preset: gpt2}\n"
                                 "training: {dtype: bfloat16, stop: {steps: 1}}\n";
static const char cpu_config[] =
    "name: ladder\n"
    "data: {train: none, batch_size: 1}\n"
    "model: {preset: none, n_layer: 4, n_head: 4, n_embd: 128, block_size: 256, "
    "vocab_size: 50257}\n"
    "training: {dtype: float32, stop: {steps: 1}}\n";

static bool takes_gpu(const BenchOptions *options) {
    return options->device == BENCH_DEVICE_CUDA ||
           (options->device == BENCH_DEVICE_AUTO && device_count_cuda() > 0);
}

/* The settings of the rung come last, because they define the ladder. */
static Status config_of(const BenchOptions *options, const Rung *rung, Config **out) {
    char backends[64], pad[64], device[64];
    snprintf(backends, sizeof backends, "attention.backends=[%s]", rung->backend);
    snprintf(pad, sizeof pad, "model.pad_vocab=%lld", (long long)rung->pad_vocab);
    snprintf(device, sizeof device, "device=%s", takes_gpu(options) ? "cuda" : "cpu");
    int count = options->override_count;
    char **overrides = calloc((size_t)count + 3, sizeof *overrides);
    if (overrides == NULL) return OUT_OF_MEMORY("the config");
    for (int i = 0; i < count; i++) overrides[i] = options->overrides[i];
    overrides[count] = backends;
    overrides[count + 1] = pad;
    overrides[count + 2] = device;
    Status status = config_load_text(takes_gpu(options) ? gpu_config : cpu_config, "bench ladder",
                                     count + 3, overrides, out);
    free(overrides);
    return status;
}

static Status config_check(const Config *config) {
    if (config->training.gradient_accumulation_steps != 1 ||
        config->training.batch_schedule.count > 0) {
        return ERROR(STATUS_USAGE,
                     "bench ladder measures one micro-batch: training.gradient_accumulation_steps "
                     "is 1, without training.batch_schedule");
    }
    if (config->data.batch_size == CONFIG_AUTO) {
        return ERROR(STATUS_USAGE,
                     "bench ladder compares at one batch: set data.batch_size to a number");
    }
    return OK;
}

/* Measures one rung; after its STATUS_CONFIG or STATUS_FAILURE the ladder continues. */
static Status rung_measure(Experiment *e, int64_t repeats, Result *out) {
    if (e->resolved.vocab_size == CONFIG_AUTO) e->resolved.vocab_size = GPT2_VOCAB;
    TRY(experiment_open_device(e));
    TRY(experiment_plan(e));
    out->bytes = e->planned.bytes;
    out->vocabulary = experiment_model_config(e->config, e->resolved.vocab_size).Vp;
    out->tokens = (double)experiment_tokens_per_step(e);
    TRY(experiment_allocate(e));
    TRY(bench_step_inputs(e));
    return program_time(e->device, e->recorded.training->programs[MICRO_ONLY].program, repeats,
                        INFINITY, &out->seconds);
}

static Status rung_run(const BenchOptions *options, const Rung *rung, Result *out) {
    Experiment e = {.world = options->world};
    Config *config = NULL;
    Status status = config_of(options, rung, &config);
    if (!failed(status)) status = config_check(config);
    if (failed(status)) {
        config_destroy(&config);
        return status;
    }
    experiment_configure(&e, config);
    status = rung_measure(&e, options->repeats, out);
    experiment_destroy(&e);
    config_destroy(&config);
    if (!failed(status)) return OK;
    out->refusal = strdup(status_message());
    return out->refusal == NULL ? status : OK;
}

/* Prints the device and the model. */
static Status head_print(const BenchOptions *options, FILE *out) {
    Device *device = NULL;
    Config *config = NULL;
    TRY(config_of(options, &rungs[0], &config));
    Status status = config_check(config);
    if (!failed(status))
        status = takes_gpu(options) ? device_open_cuda(0, &device) : device_open_cpu(0, &device);
    if (!failed(status)) {
        fprintf(out,
                "a step of GPT, %lld layers, C %lld, T %lld, B %lld, %s on %s; medians of %lld\n",
                (long long)config->model.L, (long long)config->model.C, (long long)config->model.T,
                (long long)config->data.batch_size,
                config_name("training.dtype", (int)config->training.dtype), device->name,
                (long long)options->repeats);
        if (!takes_gpu(options) && options->override_count == 0) {
            fputs("a small model for a CPU; the article's is model.preset=gpt2 data.batch_size=12, "
                  "and takes minutes\n",
                  out);
        }
        fputs("article: nanoGPT's GPT-2 124M, torch.compile, one A100\n", out);
    }
    device_close(&device);
    config_destroy(&config);
    return status;
}

static void row_print(FILE *out, const Rung *rung, const Result *r, double baseline_s) {
    double article = rungs[0].article_ms / rung->article_ms;
    fprintf(out, "%-15s ", rung->name);
    if (r->refusal != NULL) {
        fprintf(out, "%10s %10s %7s %9s %10s %11s %10.0f %9.2f   %s\n", "-", "-", "-", "-", "-",
                "-", rung->article_ms, article, r->refusal);
        return;
    }
    char speedup[24] = "-";
    if (baseline_s > 0) snprintf(speedup, sizeof speedup, "%.2f", baseline_s / r->seconds.median);
    fprintf(out, "%10lld %10.2f %6.1f%% %9s %10.0f %11.1f %10.0f %9.2f\n", (long long)r->vocabulary,
            1e3 * r->seconds.median, spread_percent(r->seconds), speedup,
            r->tokens / r->seconds.median, (double)r->bytes / 0x1p20, rung->article_ms, article);
}

static void row_csv(FILE *csv, const Rung *rung, const Result *r, double baseline_s) {
    csv_put(csv, rung->name);
    if (r->refusal != NULL)
        fputs(",,,,,", csv);
    else
        fprintf(csv, ",%lld,%.6g,%.6g,%.6g,%zu", (long long)r->vocabulary, 1e3 * r->seconds.median,
                baseline_s > 0 ? baseline_s / r->seconds.median : 0.0,
                r->tokens / r->seconds.median, r->bytes);
    fprintf(csv, ",%.0f,%.4f,", rung->article_ms, rungs[0].article_ms / rung->article_ms);
    csv_put(csv, r->refusal == NULL ? "" : r->refusal);
    if (r->refusal != NULL)
        fputs(",,\n", csv);
    else
        fprintf(csv, ",%.6g,%.6g\n", 1e3 * r->seconds.low, 1e3 * r->seconds.high);
}

static void plot_write(FILE *plot, const Result *results) {
    fputs("$rows << EOD\n", plot);
    for (int i = 0; i < RUNGS; i++) {
        bool has = results[i].refusal == NULL && results[0].refusal == NULL;
        char here[24] = "-";
        if (has)
            snprintf(here, sizeof here, "%.4f",
                     results[0].seconds.median / results[i].seconds.median);
        fprintf(plot, "\"%s\" %s %.4f\n", rungs[i].name, here,
                rungs[0].article_ms / rungs[i].article_ms);
    }
    fputs("EOD\nset title 'a training step: times as fast as with baseline attention'\nset border "
          "3\nset tics nomirror\n"
          "set grid ytics lc rgb '#dddddd'\nset style data histograms\nset style fill solid "
          "0.9\nset boxwidth 0.9\n"
          "set yrange [0:*]\nset key above\nset datafile missing '-'\nset xtics noenhanced\n"
          "plot $rows using 2:xtic(1) title 'here' lc rgb '#0072b2', '' using 3 title 'the article "
          "(A100)' lc rgb "
          "'#bbbbbb', '' using ($0-0.125):2:(sprintf('%.2f',$2)) with labels offset 0,0.6 notitle, "
          "'' using ($0+0.125):3:(sprintf('%.2f',$3)) with labels offset 0,0.6 notitle\n",
          plot);
}

static Status ladder_run(const BenchOptions *options, BenchOutput *output, Result *results) {
    int measured = 0;
    TRY(head_print(options, output->table));
    fprintf(output->table, "%-15s %10s %10s %7s %9s %10s %11s %10s %9s\n", "attention",
            "vocabulary", "ms a step", "spread", "speed-up", "tok/s", "MiB planned", "article ms",
            "speed-up");
    fputs("rung,vocabulary,ms,speedup,tokens_per_s,planned_bytes,article_ms,article_speedup,"
          "refusal,low_ms,high_ms\n",
          output->csv);
    fflush(output->table);
    for (int i = 0; i < RUNGS; i++) {
        TRY(rung_run(options, &rungs[i], &results[i]));
        double baseline_s = results[0].refusal == NULL ? results[0].seconds.median : 0;
        row_print(output->table, &rungs[i], &results[i], baseline_s);
        row_csv(output->csv, &rungs[i], &results[i], baseline_s);
        fflush(output->table);
        measured += results[i].refusal == NULL;
    }
    plot_write(output->plot, results);
    return measured > 0 ? OK : ERROR(STATUS_CONFIG, "no rung of the ladder runs on this device");
}

Status bench_ladder(const BenchOptions *options, BenchOutput *output) {
    Result results[RUNGS] = {0};
    if (world_size(options->world) > 1) {
        return ERROR(STATUS_USAGE, "bench ladder measures one device: start it without mpirun");
    }
    Status status = ladder_run(options, output, results);
    for (int i = 0; i < RUNGS; i++) free(results[i].refusal);
    return status;
}
