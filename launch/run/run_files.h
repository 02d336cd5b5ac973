/* Reads metrics.jsonl, plan.json and summary.json of a run directory. Missing or truncated values,
 * for example of a run that is writing, are omitted, NaN or "". Errors: STATUS_FAILURE if the
 * machine cannot read a file. Not collective. */
#pragma once

#include "core/base/arena.h"
#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>

/* A line of metrics.jsonl, by its keys. val_loss and metric: INFINITY if they were not finite. */
typedef struct RunRecord {
    double step, tokens, train_s, train_loss, val_loss, tok_per_s, mem_bytes;
    double noise_scale, joules, mfu;
    double metric; /* of the requested key */
} RunRecord;

/* The value at `offset` in a record. */
static inline double run_record_value(const RunRecord *record, size_t offset) {
    return *(const double *)(const void *)((const char *)record + offset);
}

/* Parses a line of metrics.jsonl. `metric` as below. False for a line that is truncated or no
 * object. */
bool run_record_parse(const char *line, size_t bytes, const char *metric, RunRecord *out);

typedef struct RunRecords {
    RunRecord *items;
    size_t count;
} RunRecords;

/* The complete lines of metrics.jsonl, without truncated and foreign ones. `metric`: a further
 * key to read, or NULL. `last_bytes`: reads only this many bytes at its end; 0: all. In the
 * arena. */
NODISCARD Status run_records_read(const char *directory, const char *metric, size_t last_bytes,
                                  Arena *arena, RunRecords *out);

/* The values of summary.json, or of plan.json while there is no summary. Texts are in the arena. */
typedef struct RunFacts {
    const char *status, *outcome, *attention, *device, *host;
    double best_val_loss, steps, tokens, train_s, batch_size, world_size, planned_bytes, peak_bytes;
    double joules;  /* NaN: not measured */
    double start_s; /* from the process's start to the end of its first step */
    double tokens_per_step, predicted_step_s; /* of the plan */
    double val_tokens, block_size;            /* of an evaluation; of its contexts at most */
    const char *val_hash;                     /* of data.val */
} RunFacts;

NODISCARD Status run_facts_read(const char *directory, Arena *arena, RunFacts *out);

/* *out = value, unless that is unknown. */
void take_known(double *out, double value);
