/* The benchmarks behind ./bench: each builds its own small programs on the device that is here and prints a table. */
#pragma once

#include "launch/experiment.h"
#include "launch/options.h"

#include <stdio.h>

typedef struct BenchOptions {
    World *world;
    int64_t repeats;      /* timed runs; the median counts */
    int64_t B, NH, T, HS; /* of bench attention; 0: its table of lengths */
    const char *csv;      /* where the rows go as CSV, too; NULL: nowhere */
    int override_count;
    char **overrides; /* of bench step's config */
} BenchOptions;

/* GPT-2 124M, or what the overrides say: milliseconds a step, tokens/s, and the share of the device's own product rate
 * that the whole step reaches, then the table of ops. */
NODISCARD Status bench_step(const BenchOptions *options, FILE *out);

/* Every attention backend, forward and backward, over lengths: milliseconds, GFLOP/s, and the memory that the plan
 * gives it. */
NODISCARD Status bench_attention(const BenchOptions *options, FILE *out);

/* Seconds of one replay: the median of `repeats`, after one that warms up. */
NODISCARD Status bench_time(Device *device, const Program *p, int64_t repeats, double *seconds);

/* FLOP/s of a large product (2048 cubed on the CPU, 8192 on a GPU) on this device: what a step is measured against. */
NODISCARD Status bench_product_rate(Device *device, DType dtype, double *flops_per_s);

/* A program bound to memory of its own, with inputs from a seed; for benchmarks that need no model. */
typedef struct BenchProgram {
    Device *device;
    Program *program;
    Plan *plan;
    void *arena;
} BenchProgram;

NODISCARD Status bench_program_bind(BenchProgram *b);
void bench_program_destroy(BenchProgram *b);

/* Fills a bound tensor of reals with values of a normal distribution. */
NODISCARD Status bench_fill(Device *device, const Tensor *t, uint64_t seed);
