/* The output of a run: metrics.jsonl and metrics.csv, one record per logged step or evaluation;
 * train.log; the console line and the progress bar; summary.json. Only rank 0 has a Metrics; for
 * NULL every function does nothing. */
#pragma once

#include "core/status.h"
#include "launch/run/data_identity.h"
#include "launch/run/metric_record.h"
#include "launch/run/phases.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The keys of a record, also the columns of metrics.csv in order; ends in NULL. */
extern const char *const metrics_columns[];

typedef struct Summary {
    const char *status; /* running, done, stopped, failed */
    bool has_diverged;  /* failed because a step was not finite */
    double best_val_loss;
    int64_t best_step, steps, tokens;
    int64_t val_tokens;      /* of one evaluation; 0: no data.val */
    double train_s, start_s; /* start_s: from the process's start to the end of its first step */
    double joules;           /* NaN: not measured */
    const char *attention;
    int64_t batch_size, block_size;
    int world_size;
    const char *device, *host; /* host: rank 0's */
    size_t peak_bytes, planned_bytes;
    const DataIdentity *data;
} Summary;

typedef struct Metrics Metrics;

/* The step of a resumed run, and the last step that it knows as evaluated. The latter may be less
 * than that of the last record, which precedes the checkpoint. */
typedef struct ResumedAt {
    int64_t step, evaluated_step;
} ResumedAt;

/* Opens the files of the run directory to append. Drops records of later steps, and of later
 * evaluations, which the resumed run writes again. Errors: STATUS_FAILURE for a file that is a
 * link, not regular or unreadable; it is not changed. */
NODISCARD Status metrics_open(const char *directory, ResumedAt at, Metrics **out);

/* Adds an event file (launch/run/event_file.h), which starts with the text of the config. Errors:
 * STATUS_FAILURE. */
NODISCARD Status metrics_add_events(Metrics *metrics, const char *directory, int64_t resumed_step,
                                    const char *config);
void metrics_close(Metrics **metrics);

/* Adds samples.jsonl, without the samples after `evaluated_step`. Errors: those of metrics_open. */
NODISCARD Status metrics_add_samples(Metrics *metrics, const char *directory,
                                     int64_t evaluated_step);

/* Appends {"step", "text"} to samples.jsonl, and shows the text. Errors: STATUS_FAILURE naming the
 * file; STATUS_OUT_OF_MEMORY. */
NODISCARD Status metrics_sample(Metrics *metrics, int64_t step, const char *text);

/* Appends a record to the files and flushes it to the system. Errors: STATUS_FAILURE naming the
 * file. */
NODISCARD Status metrics_write(Metrics *metrics, const Metric *metric);

/* Writes a line to stdout and train.log, escaped (core/base/escape.h). A terminal shows it in parts
 * that fit. If one of them fails, the other reports it once and the run continues; a failing
 * train.log is also a warning on stderr. */
void metrics_say(Metrics *metrics, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for several lines, such as a table; quoted values must not contain newlines. */
void metrics_say_lines(Metrics *metrics, const char *lines);

/* The line of launch/run/step_line.h, on a terminal as wide as that. */
void metrics_say_step(Metrics *metrics, const Metric *metric, int64_t last);

/* Redraws the progress bar on a terminal. Every other function removes it first. */
void metrics_progress(Metrics *metrics, const RunEnd *end, const Metric *metric);

/* Removes the bar, before something else writes to the terminal. */
void metrics_bar_clear(Metrics *metrics);

/* Writes summary.json, completely or not at all. */
NODISCARD Status summary_write(const char *directory, const Summary *summary);
