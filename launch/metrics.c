#include "launch/metrics.h"

#include "core/clock.h"
#include "launch/output.h"
#include "launch/text_file.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

struct Metrics {
    FILE *jsonl, *csv, *log;
    bool terminal;
    bool bar_shown;
    double bar_drawn; /* clock_seconds: a bar moves a few times a second */
};

const char *const metrics_columns[] = {"step", "tokens",    "train_s",   "wall_s", "train/loss", "val/loss",
                                       "lr",   "grad_norm", "tok_per_s", "mfu",    "mem_bytes",  NULL};

static void csv_head(FILE *file) {
    for (int i = 0; metrics_columns[i] != NULL; i++) fprintf(file, "%s%s", i > 0 ? "," : "", metrics_columns[i]);
    fputc('\n', file);
}

static Status cannot(const char *what, const char *path) {
    return ERROR(STATUS_FAILURE, "%s: cannot %s: %s", path, what, strerror(errno));
}

/* Copies the lines whose leading step, read by `format`, is at most `last`. */
static bool lines_copy(FILE *from, FILE *to, const char *format, int64_t last) {
    char line[1024];
    while (fgets(line, sizeof line, from) != NULL) {
        long long step;
        bool is_record = sscanf(line, format, &step) == 1, is_kept = !is_record || step <= last;
        if (strchr(line, '\n') != NULL && is_kept && fputs(line, to) < 0) return false;
    }
    return true;
}

static Status file_trim(const char *path, const char *format, int64_t last) {
    Output new;
    FILE *old = fopen(path, "r");
    if (old == NULL) return errno == ENOENT ? OK : cannot("read", path);
    Status status = output_open(path, &new);
    if (!failed(status)) {
        bool copied = lines_copy(old, new.file, format, last);
        status = output_finish(&new, copied ? OK : cannot("write", path));
    }
    fclose(old);
    return status;
}

static Status file_open(const char *directory, const char *name, const char *format, int64_t resumed, FILE **out) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    if (format != NULL) TRY(file_trim(path, format, resumed));
    *out = fopen(path, "a");
    return *out == NULL ? cannot("write", path) : OK;
}

/* Whether a person watches. mpirun gives each rank a terminal of its own, so it is the launcher's output that counts.
 */
static bool is_watched(void) {
    char path[64];
    if (getenv("NO_COLOR") != NULL || !isatty(STDOUT_FILENO)) return false;
    if (getenv("OMPI_COMM_WORLD_RANK") == NULL) return true;
    snprintf(path, sizeof path, "/proc/%d/fd/1", (int)getppid());
    int launcher = open(path, O_WRONLY | O_NOCTTY);
    if (launcher < 0) return false;
    bool watched = isatty(launcher);
    close(launcher);
    return watched;
}

Status metrics_open(const char *directory, int64_t resumed_step, Metrics **out) {
    *out = calloc(1, sizeof **out);
    if (*out == NULL) return ERROR(STATUS_NO_ROOM, "out of memory for metrics");
    (*out)->terminal = is_watched();
    TRY(file_open(directory, "metrics.jsonl", "{\"step\": %lld", resumed_step, &(*out)->jsonl));
    TRY(file_open(directory, "metrics.csv", "%lld,", resumed_step, &(*out)->csv));
    TRY(file_open(directory, "train.log", NULL, 0, &(*out)->log));
    fseek((*out)->csv, 0, SEEK_END);
    if (ftell((*out)->csv) == 0) csv_head((*out)->csv);
    return OK;
}

static void close_file(FILE *file) {
    if (file != NULL) fclose(file);
}

void metrics_close(Metrics **metrics) {
    if (metrics == NULL || *metrics == NULL) return;
    close_file((*metrics)->jsonl);
    close_file((*metrics)->csv);
    close_file((*metrics)->log);
    free(*metrics);
    *metrics = NULL;
}

/* Absent where it does not apply: NaN is not JSON. */
static void set_real(json_t *object, const char *key, double value) {
    if (isfinite(value)) json_object_set_new(object, key, json_real(value));
}

static json_t *metric_json(const Metric *m) {
    json_t *object = json_object();
    json_object_set_new(object, "step", json_integer(m->step));
    json_object_set_new(object, "tokens", json_integer(m->tokens));
    set_real(object, "train_s", m->train_s);
    set_real(object, "wall_s", m->wall_s);
    set_real(object, "train/loss", m->train_loss);
    set_real(object, "val/loss", m->val_loss);
    set_real(object, "lr", m->lr);
    set_real(object, "grad_norm", m->grad_norm);
    set_real(object, "tok_per_s", m->tok_per_s);
    set_real(object, "mfu", m->mfu);
    json_object_set_new(object, "mem_bytes", json_integer((json_int_t)m->mem_bytes));
    return object;
}

static void csv_real(FILE *file, double value) {
    if (isfinite(value))
        fprintf(file, ",%.9g", value);
    else
        fputs(",", file);
}

static void metric_csv(FILE *file, const Metric *m) {
    fprintf(file, "%lld,%lld", (long long)m->step, (long long)m->tokens);
    const double values[] = {m->train_s, m->wall_s,    m->train_loss, m->val_loss,
                             m->lr,      m->grad_norm, m->tok_per_s,  m->mfu};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) csv_real(file, values[i]);
    fprintf(file, ",%zu\n", m->mem_bytes);
}

Status metrics_write(Metrics *metrics, const Metric *metric) {
    if (metrics == NULL) return OK;
    json_t *object = metric_json(metric);
    char *line = json_dumps(object, JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(10));
    json_decref(object);
    if (line == NULL) return ERROR(STATUS_NO_ROOM, "out of memory for a metrics record");
    fprintf(metrics->jsonl, "%s\n", line);
    free(line);
    metric_csv(metrics->csv, metric);
    if (fflush(metrics->jsonl) != 0 || fflush(metrics->csv) != 0) {
        return ERROR(STATUS_FAILURE, "metrics: cannot write: %s", strerror(errno));
    }
    return OK;
}

static void bar_clear(Metrics *metrics) {
    if (metrics->bar_shown) fputs("\r\033[K", stdout);
    metrics->bar_shown = false;
}

void metrics_say(Metrics *metrics, const char *format, ...) {
    if (metrics == NULL) return;
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    bar_clear(metrics);
    printf("%s\n", text);
    fflush(stdout);
    fprintf(metrics->log, "%s\n", text);
    fflush(metrics->log);
}

void metrics_rate(char *text, size_t bytes, double value) {
    static const char *const units[] = {"", " K", " M", " G"};
    size_t unit = 0;
    for (; value >= 1000 && unit < 3; unit++) value /= 1000;
    snprintf(text, bytes, value < 10 ? "%.2f%s" : value < 100 ? "%.1f%s" : "%.0f%s", value, units[unit]);
}

void metrics_say_step(Metrics *metrics, const Metric *m, int64_t last) {
    if (metrics == NULL) return;
    char of[32] = "", rate[32], mfu[32] = "n/a";
    if (last > 0) snprintf(of, sizeof of, "/%lld", (long long)last);
    metrics_rate(rate, sizeof rate, m->tok_per_s);
    if (isfinite(m->mfu)) snprintf(mfu, sizeof mfu, "%.1f%%", 100 * m->mfu);
    metrics_say(metrics, "step %lld%s | loss %.4f | norm %.2f | lr %.1e | %.1f ms | %s tok/s | MFU %s | %.1f GiB",
                (long long)m->step, of, m->train_loss, m->grad_norm, m->lr, m->step_ms, rate, mfu,
                (double)m->mem_bytes / 0x1p30);
}

void metrics_progress(Metrics *metrics, double done, const Metric *m) {
    enum { WIDTH = 30 };
    if (metrics == NULL || !metrics->terminal || clock_seconds() - metrics->bar_drawn < 0.2) return;
    metrics->bar_drawn = clock_seconds();
    int full = (int)(done * WIDTH);
    double left = done > 0 ? m->train_s * (1 - done) / done : 0;
    printf("\r\033[K%.*s%.*s %3.0f%% | step %lld | loss %.4f | %.0f s left", full, "##############################",
           WIDTH - full, "..............................", 100 * done, (long long)m->step, m->train_loss, left);
    fflush(stdout);
    metrics->bar_shown = true;
}

Status summary_write(const char *directory, const Summary *s) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/summary.json", directory);
    json_t *object = json_object();
    json_object_set_new(object, "status", json_string(s->status));
    set_real(object, "best_val_loss", s->best_val_loss);
    json_object_set_new(object, "best_step", json_integer(s->best_step));
    json_object_set_new(object, "steps", json_integer(s->steps));
    json_object_set_new(object, "tokens", json_integer(s->tokens));
    set_real(object, "train_s", s->train_s);
    set_real(object, "start_s", s->start_s);
    json_object_set_new(object, "attention", json_string(s->attention));
    json_object_set_new(object, "batch_size", json_integer(s->batch_size));
    json_object_set_new(object, "world_size", json_integer(s->world_size));
    json_object_set_new(object, "device", json_string(s->device));
    json_object_set_new(object, "host", json_string(s->host));
    json_object_set_new(object, "peak_bytes", json_integer((json_int_t)s->peak_bytes));
    json_object_set_new(object, "planned_bytes", json_integer((json_int_t)s->planned_bytes));
    return text_file_replace_json(path, object, JSON_INDENT(2));
}
