/* A record of metrics.jsonl. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One record. NaN: the value does not apply. */
typedef struct Metric {
    int64_t step, tokens;
    double train_s, wall_s;
    double train_loss;
    bool is_evaluation; /* val_loss applies, finite or not; else train_loss does */
    bool is_of_cpu;     /* where no MFU is known */
    double val_loss, val_stderr, val_bpb;
    double lr, grad_norm, step_ms, tok_per_s, mfu;
    double noise_scale;           /* tokens; see nn/optim/noise_scale.h */
    double joules, tok_per_joule; /* of the run so far; since the last log line */
    double fp8_saturated; /* share of the elements of eight-bit operands; not in metrics.csv */
    size_t mem_bytes;
} Metric;
