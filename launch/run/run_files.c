#include "launch/run/run_files.h"

#include "core/base/file.h"
#include "launch/base/text_file.h"

#include <jansson.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static double number_of(const json_t *object, const char *key) {
    const json_t *value = key == NULL ? NULL : json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* INFINITY for a loss that was not finite: JSON has null for it. */
static double loss_of(const json_t *object, const char *key) {
    bool is_null = key != NULL && json_is_null(json_object_get(object, key));
    return is_null ? INFINITY : number_of(object, key);
}

/* Numbers that are no counts, such as 1e300, are missing: a count becomes an int64_t. */
static double count_of(const json_t *object, const char *key) {
    const double most = 9007199254740992; /* 2^53 */
    double value = number_of(object, key);
    return value >= -1 && value <= most ? value : NAN;
}

void take_known(double *out, double value) {
    if (!isnan(value)) *out = value;
}

/* ---- metrics.jsonl --------------------------------------------------------------------------- */

static RunRecord record_of(const json_t *object, const char *metric) {
    return (RunRecord){.step = count_of(object, "step"),
                       .tokens = count_of(object, "tokens"),
                       .train_s = number_of(object, "train_s"),
                       .train_loss = number_of(object, "train/loss"),
                       .val_loss = loss_of(object, "val/loss"),
                       .tok_per_s = number_of(object, "tok_per_s"),
                       .mem_bytes = count_of(object, "mem_bytes"),
                       .noise_scale = number_of(object, "noise_scale"),
                       .joules = number_of(object, "joules"),
                       .mfu = number_of(object, "mfu"),
                       .metric = loss_of(object, metric)};
}

bool run_record_parse(const char *line, size_t bytes, const char *metric, RunRecord *out) {
    json_t *object = json_loadb(line, bytes, 0, NULL);
    bool is_record = json_is_object(object);
    if (is_record) *out = record_of(object, metric);
    json_decref(object);
    return is_record;
}

static Status out_of_memory(const char *directory) {
    return ERROR(STATUS_OUT_OF_MEMORY, "%s: out of memory to read what the run tells", directory);
}

/* For free(). Metrics of a long run may have any length. */
static Status text_of(const char *path, size_t last_bytes, char **out) {
    if (last_bytes == 0) return file_read_all(path, SIZE_MAX / 4, out, NULL);
    *out = malloc(last_bytes);
    if (*out == NULL) return ERROR(STATUS_OUT_OF_MEMORY, "out of memory to read %s", path);
    return text_file_tail(path, *out, last_bytes);
}

static size_t count_lines(const char *text) {
    size_t lines = 0;
    while ((text = strchr(text, '\n')) != NULL) lines++, text++;
    return lines;
}

/* Skips a line that is truncated or no object. */
static Status records_parse(const char *line, const char *metric, Arena *arena, RunRecords *out) {
    const char *end;
    out->items = arena_alloc(arena, (count_lines(line) + 1) * sizeof *out->items);
    if (out->items == NULL) return OUT_OF_MEMORY("a run's metrics");
    for (; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        out->count += run_record_parse(line, (size_t)(end - line), metric, &out->items[out->count]);
    }
    return OK;
}

Status run_records_read(const char *directory, const char *metric, size_t last_bytes, Arena *arena,
                        RunRecords *out) {
    const char *path = arena_printf(arena, "%s/metrics.jsonl", directory);
    char *text = NULL;
    *out = (RunRecords){0};
    if (path == NULL) return out_of_memory(directory);
    Status status = text_of(path, last_bytes, &text);
    if (!failed(status) && text != NULL) status = records_parse(text, metric, arena, out);
    free(text);
    return status;
}

/* ---- plan.json, summary.json ----------------------------------------------------------------- */

static void take_text(const char **out, const json_t *object, const char *key, Arena *arena) {
    const char *text = json_string_value(json_object_get(object, key)), *copy = NULL;
    if (text != NULL) copy = arena_strdup(arena, text);
    if (copy != NULL) *out = copy;
}

static Status facts_add(const char *directory, const char *name, Arena *arena, RunFacts *f) {
    const char *path = arena_printf(arena, "%s/%s", directory, name);
    json_t *object = NULL;
    if (path == NULL) return out_of_memory(directory);
    Status status = text_file_read_json(path, &object);
    if (failed(status)) return status.code == STATUS_DATA ? OK : status;
    take_known(&f->best_val_loss, number_of(object, "best_val_loss"));
    take_known(&f->steps, count_of(object, "steps"));
    take_known(&f->tokens, count_of(object, "tokens"));
    take_known(&f->train_s, number_of(object, "train_s"));
    take_known(&f->batch_size, count_of(object, "batch_size"));
    take_known(&f->world_size, count_of(object, "world_size"));
    take_known(&f->joules, number_of(object, "joules"));
    take_known(&f->start_s, number_of(object, "start_s"));
    take_known(&f->tokens_per_step, count_of(object, "tokens_per_step"));
    take_known(&f->predicted_step_s, number_of(object, "predicted_step_s"));
    take_known(&f->planned_bytes, count_of(object, "planned_bytes"));
    take_known(&f->peak_bytes, count_of(object, "peak_bytes"));
    take_known(&f->val_tokens, count_of(object, "val_tokens"));
    take_known(&f->block_size, count_of(object, "block_size"));
    const json_t *val = json_object_get(json_object_get(object, "data"), "val");
    take_text(&f->val_hash, val, "xxh3", arena);
    take_text(&f->status, object, "status", arena);
    take_text(&f->outcome, object, "outcome", arena);
    take_text(&f->attention, object, "attention", arena);
    take_text(&f->device, object, "device", arena);
    take_text(&f->host, object, "host", arena);
    json_decref(object);
    return OK;
}

Status run_facts_read(const char *directory, Arena *arena, RunFacts *out) {
    *out = (RunFacts){.status = "", .outcome = "", .attention = "", .device = "", .host = ""};
    out->best_val_loss = out->steps = out->tokens = out->train_s = NAN;
    out->batch_size = out->world_size = out->planned_bytes = out->peak_bytes = NAN;
    out->val_hash = "";
    out->val_tokens = out->block_size = NAN;
    out->joules = out->start_s = out->tokens_per_step = out->predicted_step_s = NAN;
    TRY(facts_add(directory, "plan.json", arena, out));
    return facts_add(directory, "summary.json", arena, out);
}
