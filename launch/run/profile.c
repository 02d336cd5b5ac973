#include "launch/run/profile.h"

#include "core/perf/ceilings.h"
#include "launch/base/text_file.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Row {
    const char *name;
    int calls;
    double seconds, flops, bytes;
} Row;

static int by_seconds(const void *a, const void *b) {
    const Row *x = a, *y = b;
    return x->seconds < y->seconds ? 1 : x->seconds > y->seconds ? -1 : 0;
}

/* Sums the times by op into `rows`, which can hold all nodes. */
static int rows_sum(const OpTime *times, int count, Row *rows) {
    int n_rows = 0;
    for (int i = 0; i < count; i++) {
        int row = 0;
        while (row < n_rows && strcmp(rows[row].name, node_name(times[i].node)) != 0) row++;
        if (row == n_rows) rows[n_rows++] = (Row){.name = node_name(times[i].node)};
        Cost cost = node_cost(times[i].node);
        rows[row].calls++;
        rows[row].seconds += times[i].duration_s;
        rows[row].flops += cost.flops;
        rows[row].bytes += cost.bytes;
    }
    qsort(rows, (size_t)n_rows, sizeof *rows, by_seconds);
    return n_rows;
}

static void table_print(const Row *rows, int n_rows, const Ceilings *ceilings, FILE *file) {
    double total = 0, most = 0;
    for (int i = 0; i < n_rows; i++) total += rows[i].seconds;
    fprintf(file, "%-28s %6s %10s %7s %10s %9s %8s\n", "op", "calls", "ms", "share", "GFLOP/s",
            "GB/s", "ceiling");
    for (int i = 0; i < n_rows; i++) {
        const Row *r = &rows[i];
        double reached = ceilings_share(ceilings, &(Cost){r->flops, r->bytes}, r->seconds);
        most = fmax(most, reached);
        fprintf(file, "%-28s %6d %10.3f %6.1f%% %10.1f %9.1f %7.1f%%\n", r->name, r->calls,
                1e3 * r->seconds, 100 * r->seconds / total, 1e-9 * r->flops / r->seconds,
                1e-9 * r->bytes / r->seconds, 100 * reached);
    }
    fprintf(file, "%-28s %6s %10.3f\n", "all", "", 1e3 * total);
    fprintf(file, "ceilings %s: %.1f GFLOP/s in a large product, %.1f GB/s in a copy\n",
            ceilings->measured ? "measured here" : "by the data sheet", 1e-9 * ceilings->flops,
            1e-9 * ceilings->bytes);
    if (most > 1)
        fputs("over 100% of a ceiling: operands came from a cache, or other work slowed the "
              "measurement of the ceiling\n",
              file);
}

/* https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU: complete events,
 * microseconds. */
static Status trace_write(const OpTime *times, int count, const char *path) {
    json_t *events = json_array();
    for (int i = 0; i < count; i++) {
        json_array_append_new(events,
                              json_pack("{s:s, s:s, s:s, s:f, s:f, s:i, s:i}", "name",
                                        node_name(times[i].node), "cat", times[i].node->label, "ph",
                                        "X", "ts", 1e6 * times[i].start_s, "dur",
                                        1e6 * times[i].duration_s, "pid", 0, "tid", 0));
    }
    return text_file_replace_json(path, json_pack("{s:o}", "traceEvents", events), JSON_COMPACT);
}

Status profile_step(Experiment *e, FILE *file, const char *trace) {
    int64_t M = experiment_accumulation(e);
    const Program *p =
        training_program(e->recorded.training, e->phase, M == 1 ? MICRO_ONLY : MICRO_LAST);
    OpTime *times = calloc((size_t)p->n_nodes + 1, sizeof *times);
    Row *rows = calloc((size_t)p->n_nodes + 1, sizeof *rows);
    Status status = times == NULL || rows == NULL ? OUT_OF_MEMORY("a profile")
                                                  : device_profile(e->device, p, times);
    if (!failed(status) && file != NULL) {
        if (M > 1)
            fprintf(file, "the last of a step's %lld micro-batches, with the update\n",
                    (long long)M);
        Ceilings ceilings = ceilings_find(e->device, config_dtype(e->config), true);
        table_print(rows, rows_sum(times, p->n_nodes, rows), &ceilings, file);
    }
    if (!failed(status) && trace != NULL) status = trace_write(times, p->n_nodes, trace);
    free(times);
    free(rows);
    return status;
}
