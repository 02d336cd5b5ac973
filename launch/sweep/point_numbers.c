/* A point's numbers, from the last records of metrics.jsonl and from summary.json. */
#include "launch/sweep/point.h"
#include "launch/sweep/text_file.h"

#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { TAIL_BYTES = 1 << 14 };

static void take(const json_t *object, const char *key, double *out) {
    const json_t *value = json_object_get(object, key);
    if (json_is_number(value)) *out = json_number_value(value);
}

static void take_record(const json_t *record, PointStatus *s) {
    double step = (double)s->step;
    take(record, "step", &step);
    s->step = (int64_t)step;
    take(record, "tokens", &s->tokens);
    take(record, "train_s", &s->train_s);
    take(record, "train/loss", &s->train_loss);
    take(record, "val/loss", &s->val_loss);
    take(record, "tok_per_s", &s->tok_per_s);
}

/* A line that is just being written is no JSON yet, and is passed over. */
static void read_metrics(const StudyPoint *point, PointStatus *s, time_t *changed) {
    char text[TAIL_BYTES], path[PATH_MAX], *rest = text;
    struct stat info;
    snprintf(path, sizeof path, "%s/metrics.jsonl", point->directory);
    *changed = stat(path, &info) == 0 ? info.st_mtime : 0;
    text_file_tail(path, text, sizeof text);
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        json_t *record = json_loads(line, 0, NULL);
        if (record != NULL) take_record(record, s);
        json_decref(record);
    }
}

static void read_summary(const StudyPoint *point, PointStatus *s, char status[16]) {
    char path[PATH_MAX];
    status[0] = '\0';
    snprintf(path, sizeof path, "%s/summary.json", point->directory);
    json_t *summary = json_load_file(path, 0, NULL);
    const char *text = json_string_value(json_object_get(summary, "status"));
    if (text != NULL) snprintf(status, 16, "%s", text);
    take(summary, "best_val_loss", &s->best_val_loss);
    if (strcmp(status, "done") == 0) { /* the last step need not have been logged */
        double steps = (double)s->step;
        take(summary, "steps", &steps);
        take(summary, "train_s", &s->train_s);
        s->step = (int64_t)steps;
    }
    json_decref(summary);
}

/* By the rule that is met first; `since` is how long ago, in seconds, the numbers were written by a run that goes on.
 */
static double seconds_left(const Config *c, const PointStatus *s, double since) {
    const ConfigStop *stop = &c->training.stop;
    double left = INFINITY, per_step = s->step > 0 ? s->train_s / (double)s->step : NAN;
    if (stop->time > 0) left = fmin(left, stop->time - (s->step > 0 ? s->train_s : 0));
    if (stop->steps > 0 && s->step > 0) left = fmin(left, (double)(stop->steps - s->step) * per_step);
    if (stop->tokens > 0 && s->step > 0) left = fmin(left, ((double)stop->tokens - s->tokens) / s->tok_per_s);
    return isfinite(left) ? fmax(left - since, 0) : NAN;
}

void point_read_numbers(StudyPoint *point, char summary_status[16]) {
    PointStatus *s = &point->status;
    time_t changed = 0;
    s->step = -1;
    s->tokens = s->train_s = s->train_loss = s->val_loss = s->best_val_loss = s->tok_per_s = NAN;
    read_metrics(point, s, &changed);
    read_summary(point, s, summary_status);
    bool goes_on = strcmp(summary_status, "running") == 0 && s->step >= 0;
    s->seconds_left = seconds_left(point->config, s, goes_on ? difftime(time(NULL), changed) : 0);
}
