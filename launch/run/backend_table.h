/* The attention backends of a device as --plan, plan.json and train.log show them. */
#pragma once

#include "launch/run/metrics.h"
#include "nn/attention/backend.h"

#include <jansson.h>
#include <stdio.h>

typedef struct BackendRow {
    const char *name, *refusal; /* NULL: accepted */
    bool picked, enabled;       /* enabled: attention.backends names it */
    bool shadowed;              /* an earlier row of the same name accepts the call */
    double seconds;             /* forward and backward; 0: not measured */
    size_t planned_bytes;       /* of the whole run with this backend; 0: refused */
    double predicted_s;         /* of a step with it; 0: unknown */
    int64_t largest_batch;      /* within memory_budget; 0: none. Only with --plan */
} BackendRow;

typedef struct BackendTable {
    BackendRow rows[KERNEL_MAX_CHOICES];
    int count;
    const char *note; /* --plan's remark on attention.pick: measured; or NULL */
} BackendTable;

void backend_table_print(const BackendTable *table, FILE *file);

/* The list `backends` of plan.json. */
json_t *backend_table_json(const BackendTable *table);

/* Lists the refusals and the measured times of the enabled backends. */
void backend_table_say(const BackendTable *table, Metrics *metrics);
