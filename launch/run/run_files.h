/* What a run directory tells of its run: metrics.jsonl, plan.json, summary.json. What is not there
 * or is cut, for the run may just be writing, is left out, NaN or "". What the machine fails to
 * read is an error, STATUS_FAILURE. Not collective. */
#pragma once

#include "core/base/arena.h"
#include "core/status.h"

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

/* The whole lines of metrics.jsonl, cut and foreign ones left out. `metric`: a further key to read,
 * or NULL. `last_bytes`: only those in so many bytes at its end; 0: all. In the arena. */
NODISCARD Status run_records_read(const char *directory, const char *metric, size_t last_bytes,
                                  Arena *arena, RunRecords *out);

/* What summary.json says, and before there is one, plan.json. Texts are in the arena. */
typedef struct RunFacts {
    const char *status, *outcome, *attention, *device, *host;
    double best_val_loss, steps, tokens, train_s, batch_size, world_size, planned_bytes, peak_bytes;
} RunFacts;

NODISCARD Status run_facts_read(const char *directory, Arena *arena, RunFacts *out);

/* *out = value, unless that is not known. */
void take_known(double *out, double value);
