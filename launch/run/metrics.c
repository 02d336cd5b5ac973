#include "launch/run/metrics.h"

#include "core/base/clock.h"
#include "core/base/escape.h"
#include "core/base/file.h"
#include "core/base/replacement.h"
#include "launch/base/streams.h"
#include "launch/base/terminal.h"
#include "launch/base/text_file.h"
#include "launch/run/event_file.h"
#include "launch/run/step_line.h"

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 4096, LINE_BYTES = 2048 };

typedef struct LogFile {
    int fd; /* -1: not open */
    char path[PATH_BYTES];
} LogFile;

struct Metrics {
    LogFile jsonl, csv, log, samples;
    EventFile *events;                 /* NULL: none */
    bool log_is_lost, console_is_lost; /* and has been reported */
    bool redraws, bar_shown;           /* a terminal that may show the progress bar; it does now */
    double bar_drawn;                  /* clock_seconds; limits redraws to a few a second */
};

const char *const metrics_columns[] = {"step",        "tokens",    "train_s",       "wall_s",
                                       "train/loss",  "val/loss",  "val/stderr",    "val/bpb",
                                       "lr",          "grad_norm", "tok_per_s",     "mfu",
                                       "noise_scale", "joules",    "tok_per_joule", "mem_bytes",
                                       NULL};

/* ---- the files ------------------------------------------------------------------------------- */

/* Formats of sscanf for the records of a file: the step, and the step with one more character if
 * the record is an evaluation. */
typedef struct RecordForm {
    const char *step, *evaluation;
} RecordForm;

static const RecordForm json_form = {
    "{\"step\": %lld",
    "{\"step\": %lld, \"tokens\": %*d, \"train_s\": %*f, \"wall_s\": %*f, \"val/%1[l]"};
static const RecordForm csv_form = {"%lld,", "%lld,%*[^,],%*[^,],%*[^,],,%1[^,]"};

/* Whether the resumed run writes this record again. */
static bool is_repeated(const char *head, const RecordForm *form, const ResumedAt *at) {
    long long step;
    char more[2];
    if (sscanf(head, form->evaluation, &step, more) == 2) return step > at->evaluated_step;
    return sscanf(head, form->step, &step) == 1 && step > at->step;
}

/* Keeps complete lines without the records that will be written again. */
static char *lines_keep(const char *text, size_t size, const RecordForm *form, const ResumedAt *at,
                        size_t *kept) {
    char *out = malloc(size + 1);
    const char *end;
    *kept = 0;
    for (const char *line = text; out != NULL && (end = memchr(line, '\n', size)) != NULL;
         line = end + 1) {
        char head[160]; /* bounds the length that sscanf measures */
        size_t length = (size_t)(end - line) + 1;
        size -= length;
        snprintf(head, sizeof head, "%.*s", (int)(length < sizeof head ? length : sizeof head),
                 line);
        if (is_repeated(head, form, at)) continue;
        memcpy(out + *kept, line, length);
        *kept += length;
    }
    return out;
}

/* Leaves a file unchanged that cannot be read to its end. */
static Status file_trim(const char *path, const RecordForm *form, const ResumedAt *at) {
    char *text;
    size_t size, kept;
    TRY(file_refuse_link(path));
    TRY(file_read_all(path, SIZE_MAX / 4, &text, &size));
    if (text == NULL) return OK;
    char *lines = lines_keep(text, size, form, at, &kept);
    free(text);
    if (lines == NULL) return ERROR(STATUS_OUT_OF_MEMORY, "out of memory to read %s", path);
    Replacement *new = NULL;
    Status status = kept == size ? OK : replacement_begin(path, &new);
    if (!failed(status) && new != NULL)
        status = replacement_end(&new, replacement_write(new, lines, kept));
    free(lines);
    return status;
}

static Status file_open_log(const char *directory, const char *name, LogFile *out) {
    if (snprintf(out->path, sizeof out->path, "%s/%s", directory, name) >= (int)sizeof out->path) {
        return ERROR(STATUS_FAILURE, "%s: the path is too long", directory);
    }
    return file_open_append(out->path, &out->fd);
}

/* Opens a file of records without those that will be written again. */
static Status records_open(const char *directory, const char *name, const RecordForm *form,
                           const ResumedAt *at, LogFile *out) {
    char path[PATH_BYTES];
    if (snprintf(path, sizeof path, "%s/%s", directory, name) < (int)sizeof path)
        TRY(file_trim(path, form, at));
    return file_open_log(directory, name, out);
}

static Status log_write(const LogFile *log, const char *text) {
    int error = file_write_all(log->fd, text, strlen(text));
    return error == 0 ? OK : file_cannot_write(log->path, error);
}

static void csv_head(FILE *file) {
    for (int i = 0; metrics_columns[i] != NULL; i++)
        fprintf(file, "%s%s", i > 0 ? "," : "", metrics_columns[i]);
    fputc('\n', file);
}

/* A record as a row: empty if a value does not apply, nan if it is not finite. */
static void csv_row(FILE *file, const json_t *record) {
    for (int i = 0; metrics_columns[i] != NULL; i++) {
        const json_t *value = json_object_get(record, metrics_columns[i]);
        if (i > 0) fputc(',', file);
        if (json_is_integer(value)) fprintf(file, "%lld", (long long)json_integer_value(value));
        if (json_is_real(value)) fprintf(file, "%.9g", json_real_value(value));
        if (json_is_null(value)) fputs("nan", file);
    }
    fputc('\n', file);
}

/* The content of metrics.csv from the lines of metrics.jsonl; NULL: out of memory. For free(). */
static char *csv_text(const char *records) {
    char *text = NULL;
    size_t bytes;
    FILE *file = open_memstream(&text, &bytes);
    if (file == NULL) return NULL;
    csv_head(file);
    for (const char *end; records != NULL && (end = strchr(records, '\n')) != NULL;
         records = end + 1) {
        json_t *record = json_loadb(records, (size_t)(end - records), 0, NULL);
        if (json_is_object(record)) csv_row(file, record);
        json_decref(record);
    }
    if (fclose(file) == 0) return text;
    free(text);
    return NULL;
}

/* Writes the header of a new metrics.csv. Rewrites the file of an older version whose columns
 * differ. */
static Status csv_prepare(const char *directory) {
    char path[PATH_BYTES], from[PATH_BYTES], *old = NULL, *records = NULL, *head = csv_text(NULL),
                                             *text = NULL;
    snprintf(path, sizeof path, "%s/metrics.csv", directory);
    snprintf(from, sizeof from, "%s/metrics.jsonl", directory);
    Status status = file_refuse_link(path);
    if (!failed(status) && head != NULL) status = file_read_all(path, SIZE_MAX / 4, &old, NULL);
    bool is_ours =
        !failed(status) && head != NULL && old != NULL && strncmp(old, head, strlen(head)) == 0;
    if (!failed(status) && !is_ours) status = file_read_all(from, SIZE_MAX / 4, &records, NULL);
    if (!failed(status) && !is_ours) {
        text = csv_text(records);
        status = text == NULL ? OUT_OF_MEMORY("%s", path) : text_file_replace(path, text);
    }
    free(head);
    free(old);
    free(records);
    free(text);
    return status;
}

Status metrics_open(const char *directory, ResumedAt at, Metrics **out) {
    Metrics *metrics = *out = calloc(1, sizeof **out);
    if (metrics == NULL) return OUT_OF_MEMORY("metrics");
    metrics->jsonl.fd = metrics->csv.fd = metrics->log.fd = metrics->samples.fd = -1;
    metrics->redraws = terminal_redraws();
    TRY(records_open(directory, "metrics.jsonl", &json_form, &at, &metrics->jsonl));
    TRY(csv_prepare(directory));
    TRY(records_open(directory, "metrics.csv", &csv_form, &at, &metrics->csv));
    return file_open_log(directory, "train.log", &metrics->log);
}

Status metrics_add_events(Metrics *metrics, const char *directory, int64_t resumed_step,
                          const char *config) {
    TRY(event_file_create(directory, resumed_step, &metrics->events));
    return event_file_text(metrics->events, resumed_step, "config", config);
}

Status metrics_add_samples(Metrics *metrics, const char *directory, int64_t evaluated_step) {
    const ResumedAt at = {evaluated_step, evaluated_step};
    return records_open(directory, "samples.jsonl", &json_form, &at, &metrics->samples);
}

void metrics_close(Metrics **metrics) {
    if (metrics == NULL || *metrics == NULL) return;
    file_close((*metrics)->jsonl.fd);
    file_close((*metrics)->csv.fd);
    file_close((*metrics)->log.fd);
    file_close((*metrics)->samples.fd);
    event_file_close(&(*metrics)->events);
    free(*metrics);
    *metrics = NULL;
}

/* Leaves out a value that does not apply: JSON has no NaN. */
static void set_real(json_t *object, const char *key, double value) {
    if (isfinite(value)) json_object_set_new(object, key, json_real(value));
}

/* null differs from a value that does not apply. */
static void set_loss(json_t *object, const char *key, double value, bool applies) {
    if (applies) json_object_set_new(object, key, isfinite(value) ? json_real(value) : json_null());
}

static json_t *metric_json(const Metric *m) {
    json_t *object = json_object();
    json_object_set_new(object, "step", json_integer(m->step));
    json_object_set_new(object, "tokens", json_integer(m->tokens));
    set_real(object, "train_s", m->train_s);
    set_real(object, "wall_s", m->wall_s);
    set_loss(object, "train/loss", m->train_loss, !m->is_evaluation);
    set_loss(object, "val/loss", m->val_loss, m->is_evaluation);
    set_real(object, "val/stderr", m->val_stderr);
    set_real(object, "val/bpb", m->val_bpb);
    set_real(object, "lr", m->lr);
    set_real(object, "grad_norm", m->grad_norm);
    set_real(object, "tok_per_s", m->tok_per_s);
    set_real(object, "mfu", m->mfu);
    set_real(object, "noise_scale", m->noise_scale);
    set_real(object, "joules", m->joules);
    set_real(object, "tok_per_joule", m->tok_per_joule);
    set_real(object, "fp8_saturated", m->fp8_saturated);
    json_object_set_new(object, "mem_bytes", json_integer((json_int_t)m->mem_bytes));
    return object;
}

/* On a full disk, the error names the file that lacks the record. */
static Status record_write(Metrics *metrics, const json_t *object) {
    char line[LINE_BYTES], row[LINE_BYTES];
    size_t bytes =
        json_dumpb(object, line, sizeof line - 2, JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(10));
    FILE *csv = fmemopen(row, sizeof row, "w");
    if (csv != NULL) csv_row(csv, object);
    if (csv == NULL || fclose(csv) != 0 || bytes == 0 || bytes > sizeof line - 2) {
        return OUT_OF_MEMORY("a metrics record");
    }
    memcpy(line + bytes, "\n", 2);
    TRY(log_write(&metrics->jsonl, line));
    return log_write(&metrics->csv, row);
}

Status metrics_write(Metrics *metrics, const Metric *metric) {
    if (metrics == NULL) return OK;
    json_t *object = metric_json(metric);
    Status status = record_write(metrics, object);
    if (!failed(status) && metrics->events != NULL)
        status = event_file_scalars(metrics->events, metric->step, object);
    json_decref(object);
    return status;
}

/* ---- the console and train.log --------------------------------------------------------------- */

void metrics_bar_clear(Metrics *metrics) {
    if (metrics == NULL || !metrics->bar_shown) return;
    fputs("\r\033[K", stdout);
    fflush(stdout);
    metrics->bar_shown = false;
}

/* Writes `line` to train.log and `shown` to the console. Reports a lost file on the console, once,
 * and a lost console in the file. Training continues. */
static void line_say(Metrics *metrics, const char *line, const char *shown) {
    char text[LINE_BYTES + 1];
    metrics_bar_clear(metrics);
    terminal_fold(stdout, shown, terminal_size().columns);
    if (failed(streams_flush(OK)) && !metrics->console_is_lost) {
        metrics->console_is_lost = true;
        metrics_say(metrics, "%s; the console is lost, the run goes on", status_message());
    }
    snprintf(text, sizeof text, "%s\n", line);
    if (!metrics->log_is_lost && failed(log_write(&metrics->log, text))) {
        metrics->log_is_lost = true;
        status_warn("train", status_message());
    }
    char notice[LINE_BYTES]; /* such as that of a saved checkpoint */
    if (file_notice_take(notice, sizeof notice)) metrics_say(metrics, "%s", notice);
}

void metrics_say(Metrics *metrics, const char *format, ...) {
    if (metrics == NULL) return;
    char text[LINE_BYTES], shown[LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    escape_text(text, shown, sizeof shown);
    line_say(metrics, shown, shown);
}

Status metrics_sample(Metrics *metrics, int64_t step, const char *text) {
    json_t *record = json_pack("{s:I, s:s}", "step", (json_int_t)step, "text", text);
    char *dump = record == NULL ? NULL : json_dumps(record, JSON_PRESERVE_ORDER), *line = NULL;
    json_decref(record);
    if (dump == NULL || asprintf(&line, "%s\n", dump) < 0) line = NULL;
    Status status = line == NULL ? OUT_OF_MEMORY("a sample") : log_write(&metrics->samples, line);
    free(dump);
    free(line);
    TRY(status);
    metrics_say(metrics, "step %lld | sample %s", (long long)step, text);
    return metrics->events == NULL ? OK : event_file_text(metrics->events, step, "sample", text);
}

void metrics_say_lines(Metrics *metrics, const char *lines) {
    for (size_t length; metrics != NULL && *lines != '\0';
         lines += length + (lines[length] == '\n')) {
        length = strcspn(lines, "\n");
        metrics_say(metrics, "%.*s", (int)length, lines);
    }
}

void metrics_say_step(Metrics *metrics, const Metric *metric, int64_t last) {
    if (metrics == NULL) return;
    char whole[STEP_LINE_BYTES], shown[STEP_LINE_BYTES];
    step_line(metric, last, 0, whole);
    step_line(metric, last, terminal_size().columns, shown);
    line_say(metrics, whole, shown);
}

void metrics_progress(Metrics *metrics, const RunEnd *end, const Metric *metric) {
    if (metrics == NULL || !metrics->redraws || clock_seconds() - metrics->bar_drawn < 0.2) return;
    char line[STEP_LINE_BYTES];
    metrics->bar_drawn = clock_seconds();
    bar_line(metric, end, terminal_size().columns - 1, line); /* the last column may wrap */
    printf("\r\033[K%s", line);
    fflush(stdout);
    metrics->bar_shown = true;
}

Status summary_write(const char *directory, const Summary *s) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/summary.json", directory);
    json_t *object = json_object();
    json_object_set_new(object, "status", json_string(s->status));
    if (s->has_diverged) json_object_set_new(object, "outcome", json_string("diverged"));
    set_real(object, "best_val_loss", s->best_val_loss);
    json_object_set_new(object, "best_step", json_integer(s->best_step));
    if (s->val_tokens > 0) json_object_set_new(object, "val_tokens", json_integer(s->val_tokens));
    json_object_set_new(object, "block_size", json_integer(s->block_size));
    json_object_set_new(object, "steps", json_integer(s->steps));
    json_object_set_new(object, "tokens", json_integer(s->tokens));
    set_real(object, "train_s", s->train_s);
    set_real(object, "start_s", s->start_s);
    set_real(object, "joules", s->joules);
    set_real(object, "tok_per_joule", (double)s->tokens / s->joules);
    json_object_set_new(object, "attention", json_string(s->attention));
    json_object_set_new(object, "batch_size", json_integer(s->batch_size));
    json_object_set_new(object, "world_size", json_integer(s->world_size));
    json_object_set_new(object, "device", json_string(s->device));
    json_object_set_new(object, "host", json_string(s->host));
    json_object_set_new(object, "peak_bytes", json_integer((json_int_t)s->peak_bytes));
    json_object_set_new(object, "planned_bytes", json_integer((json_int_t)s->planned_bytes));
    json_object_set_new(object, "data", data_identity_json(s->data));
    return text_file_replace_json(path, object, JSON_INDENT(2));
}
