/* The benchmarks behind ./bench: each builds its own small programs on the device that is here and
 * prints a table. */
#pragma once

#include "launch/base/options.h"
#include "launch/bench/bench_output.h"
#include "launch/run/experiment.h"

#include <stdio.h>

/* The words of options, in the order of their choices. */
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
    int64_t repeats;          /* timed runs; the median counts */
    int64_t B, NH, HS;        /* 0: the benchmark's own */
    const char *T, *backends; /* comma-separated; NULL: the benchmark's own length, every backend */
    bool causal;
    int64_t window, documents; /* 0: none */
    int64_t NH_kv, Tk;         /* 0: NH, T */
    double dropout;
    int alignment, layout;   /* BenchAlignment, BenchLayout */
    int bias, bias_dims;     /* BiasKind; the words of --bias-dims, 0: the benchmark's own */
    const char *key_lengths; /* comma-separated; NULL: every row has all keys */
    int device, dtype;       /* BenchDevice, BenchDtype */
    const char *csv, *plot;  /* where the rows and a picture go; NULL: nowhere */
    int override_count;
    char **overrides; /* of the config of bench step and bench ladder */
} BenchOptions;

/* GPT-2 124M, or what the overrides say: milliseconds a step, tokens/s, and the share of the
 * device's own product rate that the whole step reaches, then the table of ops. Collective. */
NODISCARD Status bench_step(const BenchOptions *options, FILE *out);

/* Every attention backend, forward and backward: microseconds, TFLOP/s, the share of the rate of a
 * large product, and memory, by default for the call of PyTorch's SDPA tutorial; backends that
 * refuse, with their reason. */
NODISCARD Status bench_attention(const BenchOptions *options, BenchOutput *output);

enum { GPT2_VOCAB = 50257 };

/* A training step with each backend in turn and a vocabulary of 50257, then padded to 50304: the
 * ladder of "Accelerating Large Language Models with Accelerated Transformers" beside that
 * article's figures. */
NODISCARD Status bench_ladder(const BenchOptions *options, BenchOutput *output);

/* The error of every backend, and of the two ways to write attention out, against f64 over growing
 * inputs: that article's appendix A. */
NODISCARD Status bench_numerics(const BenchOptions *options, BenchOutput *output);

/* Opens the device that --device asks for, one GPU or this process's cores. */
NODISCARD Status bench_open_device(const BenchOptions *options, Device **out);

/* The name of backend `index` in the order of attention.backends, or of --backends; NULL behind the
 * last. bench_check_backends refuses a list with a name that is none: STATUS_USAGE. */
NODISCARD Status bench_check_backends(const BenchOptions *options);
const char *bench_backend_name(const BenchOptions *options, int index);

/* Sums over the ranks that mpirun started, 1 KiB to 512 MiB (16 MiB on CPUs): time, algorithm and
 * bus bandwidth. Collective. STATUS_USAGE with one rank. */
NODISCARD Status bench_allreduce(const BenchOptions *options, FILE *out);

/* Seconds of one replay: the median of `repeats`, after what warms up. */
NODISCARD Status bench_time(Device *device, const Program *p, int64_t repeats, double *seconds);

/* Random tokens, and a learning rate small enough to keep the numbers ordinary, for an allocated
 * experiment. */
NODISCARD Status bench_step_inputs(Experiment *e);
