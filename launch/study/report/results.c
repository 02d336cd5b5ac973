#include "launch/study/report/results.h"

#include "core/base/checked.h"
#include "launch/base/text_file.h"
#include "launch/study/report/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *string_or(const json_t *object, const char *key, const char *otherwise) {
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? otherwise : text;
}

static bool is_directory(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* A run beside sweep.json takes precedence, so that a study can be moved. */
static const char *point_directory(Results *s, const char *recorded) {
    size_t length = strlen(recorded);
    while (length > 0 && recorded[length - 1] == '/') length--;
    size_t start = length;
    while (start > 0 && recorded[start - 1] != '/') start--;
    const char *beside =
        arena_printf(&s->arena, "%s/%.*s", s->directory, (int)(length - start), recorded + start);
    return beside != NULL && length > start && is_directory(beside) ? beside : recorded;
}

/* "branch.at" becomes a value of the point, so that each fork is a series. */
static Status branch_load(Results *s, json_t *item, Point *out) {
    const json_t *branch = json_object_get(item, "branch"), *at = json_object_get(branch, "at");
    if (!json_is_string(at) || !json_is_object(out->values)) return OK;
    out->at = json_string_value(at);
    out->trunk = point_directory(s, string_or(branch, "run", ""));
    out->fork_tokens = json_number_value(json_object_get(branch, "tokens"));
    out->tolerance = json_number_value(json_object_get(branch, "tolerance"));
    if (json_object_set_new(out->values, "branch.at", json_string(out->at)) == 0) return OK;
    return OUT_OF_MEMORY("a report");
}

static Status point_load(Results *s, json_t *item, Point *out) {
    json_t *name = json_object_get(item, "name"), *directory = json_object_get(item, "directory");
    if (!json_is_string(name) || !json_is_string(directory)) {
        return ERROR(
            STATUS_DATA,
            "%s/sweep.json: a point has no name or directory; run ./sweep on the study again",
            s->directory);
    }
    *out = (Point){.name = json_string_value(name),
                   .directory = point_directory(s, json_string_value(directory)),
                   .state = string_or(item, "state", "unknown"),
                   .message = string_or(item, "message", ""),
                   .attempts = json_number_value(json_object_get(item, "attempts")),
                   .values = json_object_get(item, "values")};
    const json_t *seed = json_object_get(out->values, "seed");
    out->seed = seed == NULL ? "" : value_text(s, seed);
    TRY(branch_load(s, item, out));
    return run_read(s, out);
}

static Status points_load(Results *s) {
    json_t *points = json_object_get(s->root, "points");
    size_t bytes;
    s->n_points = json_array_size(points);
    if (s->n_points == 0 && json_array_size(json_object_get(s->root, "tuning")) == 0)
        return ERROR(STATUS_DATA, "%s/sweep.json: the study has no points", s->directory);
    if (!checked_mul(s->n_points + 1, sizeof *s->points, &bytes) ||
        (s->points = arena_alloc(&s->arena, bytes)) == NULL) {
        return OUT_OF_MEMORY("%zu points", s->n_points);
    }
    for (size_t i = 0; i < s->n_points; i++)
        TRY(point_load(s, json_array_get(points, i), &s->points[i]));
    return OK;
}

static Status load(Results *s, const char *directory) {
    const char *path = arena_printf(&s->arena, "%s/sweep.json", directory);
    s->directory = arena_strdup(&s->arena, directory);
    if (path == NULL || s->directory == NULL) return OUT_OF_MEMORY("a report");
    if (!is_directory(directory))
        return ERROR(STATUS_DATA, "%s: no such study; create it with ./sweep STUDY", directory);
    TRY(text_file_read_json(path, &s->root));
    if (s->root == NULL)
        return ERROR(STATUS_DATA, "%s: no such file; name the directory of a study", path);
    const json_t *report = json_object_get(s->root, "report");
    s->name = string_or(s->root, "study", "study");
    s->metric = string_or(report, "metric", "val/loss");
    s->reduce = string_or(report, "reduce", "best");
    s->x_key = string_or(report, "x", NULL);
    s->series_key = string_or(report, "series", NULL);
    s->budget = "";
    TRY(points_load(s));
    return results_arrange(s);
}

Status results_load(const char *directory, Results **out) {
    Results *results = *out = calloc(1, sizeof **out);
    if (results == NULL) return OUT_OF_MEMORY("a report");
    Status status = load(results, directory);
    if (failed(status)) results_destroy(out);
    return status;
}

void results_destroy(Results **results) {
    if (results == NULL || *results == NULL) return;
    json_decref((*results)->root);
    arena_free(&(*results)->arena);
    free(*results);
    *results = NULL;
}

bool point_is(const Point *point, const char *state) { return strcmp(point->state, state) == 0; }

double point_x(const Point *point) { return point->x; }
double point_batch(const Point *point) { return point->batch; }
double point_metric(const Point *point) { return point->metric; }
double point_rate(const Point *point) { return point->tok_per_s; }
double point_peak(const Point *point) { return point->peak_bytes; }
double point_joules(const Point *point) { return point->joules; }
double point_step_tokens(const Point *point) { return point->step_tokens; }
double point_difference(const Point *point) { return point->difference; }
double point_planned(const Point *point) { return point->planned_bytes; }
