/* What a run directory tells of its run: metrics.jsonl, plan.json, summary.json. What is not there or cannot be read,
 * for the run may just be writing, is left out, NaN or "". Not collective. */
#pragma once

#include "core/arena.h"

#include <stddef.h>

/* A line of metrics.jsonl, by its keys. */
typedef struct RunRecord {
    double step, tokens, train_s, train_loss, val_loss, tok_per_s, mem_bytes;
    double metric; /* of the key that was asked for */
} RunRecord;

typedef struct RunRecords {
    RunRecord *items;
    size_t count;
} RunRecords;

/* The whole lines of metrics.jsonl, cut and foreign ones left out. `metric`: a further key to read, or NULL.
 * `last_bytes`: only those in so many bytes at its end; 0: all. In the arena. */
RunRecords run_records_read(const char *directory, const char *metric, size_t last_bytes, Arena *arena);

/* What summary.json says, and before there is one, plan.json. Texts are in the arena. */
typedef struct RunFacts {
    const char *status, *attention, *device, *host;
    double best_val_loss, steps, tokens, train_s, batch_size, world_size, planned_bytes, peak_bytes;
} RunFacts;

RunFacts run_facts_read(const char *directory, Arena *arena);

/* *out = value, unless that is not known. */
void take_known(double *out, double value);
