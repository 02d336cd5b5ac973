/* What a run says of itself: metrics.jsonl and metrics.csv, one line a log step or evaluation;
 * train.log; the console's line and progress bar; summary.json. Rank 0 alone has one; the others
 * pass NULL, and nothing is written. */
#pragma once

#include "core/status.h"
#include "launch/run/data_identity.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One record; NaN means that a value does not apply to it. Keys as in the house's contract. */
typedef struct Metric {
    int64_t step, tokens;
    double train_s, wall_s;
    double train_loss;
    bool is_evaluation; /* then val_loss is there, be it finite or not */
    double val_loss, val_stderr, val_bpb;
    double lr, grad_norm, step_ms, tok_per_s, mfu;
    size_t mem_bytes;
} Metric;

/* The keys of a record, which are the columns of metrics.csv in their order; ends in NULL. */
extern const char *const metrics_columns[];

typedef struct Summary {
    const char *status; /* running, done, stopped, failed */
    double best_val_loss;
    int64_t best_step, steps, tokens;
    int64_t val_tokens;      /* in an evaluation; 0: without data.val */
    double train_s, start_s; /* start_s: from the process's start to the end of its first step */
    const char *attention;
    int64_t batch_size;
    int world_size;
    const char *device, *host; /* host: rank 0's */
    size_t peak_bytes, planned_bytes;
    const DataIdentity *data;
} Summary;

typedef struct Metrics Metrics;

/* Opens the files of the run directory to append. Records of steps after `resumed_step` are
 * dropped: they come again, the same. A file that is a link, no regular file or cannot be read is
 * left as it is: an error. */
NODISCARD Status metrics_open(const char *directory, int64_t resumed_step, Metrics **out);
void metrics_close(Metrics **metrics);

/* Appends a record to both files, at once on disk as far as the system's buffers go. Errors:
 * STATUS_FAILURE naming the file. */
NODISCARD Status metrics_write(Metrics *metrics, const Metric *metric);

/* A line for people: to stdout and train.log, escaped (core/base/escape.h). Where one of the two
 * cannot be written, the other says so once, and the run goes on; a lost train.log is a warning
 * on stderr. */
void metrics_say(Metrics *metrics, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for a table of ours; what it quotes has no newline. */
void metrics_say_lines(Metrics *metrics, const char *lines);

/* `step 120/600 | loss 3.2817 | ...`; `last` 0 where the run's end in steps is not known. */
void metrics_say_step(Metrics *metrics, const Metric *metric, int64_t last);

/* A number as lines show it: a NaN without the sign that it happens to have. */
double metrics_shown(double value);

/* A rate such as tokens a second with three digits and a unit: 421 K, 1.20 M. */
void metrics_rate(char *text, size_t bytes, double value);

/* On a terminal: how far the run is, in place, `done` in [0, 1]. */
void metrics_progress(Metrics *metrics, double done, const Metric *metric);

/* Writes summary.json, whole or not at all. */
NODISCARD Status summary_write(const char *directory, const Summary *summary);
