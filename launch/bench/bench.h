/* The benchmarks of ./bench: each builds small programs on the available device and prints a
 * table. */
#pragma once

#include "launch/base/options.h"
#include "launch/bench/bench_output.h"
#include "launch/run/experiment.h"

#include <stdio.h>

/* Values of options, in the order of their enums. */
typedef enum BenchDevice { BENCH_DEVICE_AUTO, BENCH_DEVICE_CPU, BENCH_DEVICE_CUDA } BenchDevice;
typedef enum BenchDtype {
    BENCH_DTYPE_AUTO,
    BENCH_DTYPE_F32,
    BENCH_DTYPE_TF32,
    BENCH_DTYPE_F16,
    BENCH_DTYPE_BF16,
    BENCH_DTYPE_F64
} BenchDtype;
typedef enum BenchAlignment {
    BENCH_ALIGN_AUTO,
    BENCH_ALIGN_UPPER_LEFT,
    BENCH_ALIGN_LOWER_RIGHT
} BenchAlignment;
typedef enum BenchLayout {
    BENCH_LAYOUT_AUTO,
    BENCH_LAYOUT_PACKED,
    BENCH_LAYOUT_TOKENS,
    BENCH_LAYOUT_HEADS
} BenchLayout;

typedef struct BenchOptions {
    World *world;
    int64_t repeats;   /* timed runs; the median counts */
    int64_t B, NH, HS; /* 0: the benchmark's default */
    const char *T,
        *backends; /* comma-separated; NULL: the benchmark's default length, every backend */
    bool causal;
    int64_t window, documents; /* 0: none */
    int64_t NH_kv, Tk;         /* 0: NH, T */
    double dropout;
    int alignment, layout;   /* BenchAlignment, BenchLayout */
    int bias, bias_dims;     /* BiasKind; a value of --bias-dims, 0: the benchmark's default */
    const char *key_lengths; /* comma-separated; NULL: every row has all keys */
    int device, dtype;       /* BenchDevice, BenchDtype */
    const char *csv, *plot;  /* files for the rows and a chart; NULL: none */
    int override_count;
    char **overrides; /* overrides of the config of bench step and bench ladder */
} BenchOptions;

/* GPT-2 124M, or the model of the overrides: milliseconds per step, tokens/s, the step's rate as a
 * share of the device's matrix product rate, and a table of ops. Collective. */
NODISCARD Status bench_step(const BenchOptions *options, FILE *out);

/* Every attention backend, forward and backward: microseconds, TFLOP/s, the share of the rate of a
 * large product, and memory; for backends that refuse, the reason. The default call is that of
 * PyTorch's SDPA tutorial. */
NODISCARD Status bench_attention(const BenchOptions *options, BenchOutput *output);

enum { GPT2_VOCAB = 50257 };

/* A training step with each backend and a vocabulary of 50257, then padded to 50304: the steps of
 * "Accelerating Large Language Models with Accelerated Transformers", with the figures of that
 * article. */
NODISCARD Status bench_ladder(const BenchOptions *options, BenchOutput *output);

/* The error of every backend and of two ways to compose attention from ops, against f64, for inputs
 * of growing magnitude: that article's appendix A. */
NODISCARD Status bench_numerics(const BenchOptions *options, BenchOutput *output);

/* Opens the device of --device: one GPU or this process's cores. */
NODISCARD Status bench_open_device(const BenchOptions *options, Device **out);

/* The name of backend `index` in the order of attention.backends, or of --backends; NULL after the
 * last. bench_check_backends refuses unknown names: STATUS_USAGE. */
NODISCARD Status bench_check_backends(const BenchOptions *options);
const char *bench_backend_name(const BenchOptions *options, int index);

/* All-reduce over the ranks that mpirun started, 1 KiB to 512 MiB (16 MiB on CPUs): time, algorithm
 * and bus bandwidth. Collective. STATUS_USAGE with one rank. */
NODISCARD Status bench_allreduce(const BenchOptions *options, FILE *out);

/* Sets random tokens, and a learning rate small enough to keep the weights ordinary, in an
 * allocated experiment. */
NODISCARD Status bench_step_inputs(Experiment *e);
