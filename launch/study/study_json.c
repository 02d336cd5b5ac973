/* Writes sweep.json, for the report and other tools. */
#include "launch/base/text_file.h"
#include "launch/study/metric.h"
#include "launch/study/trunk.h"
#include "launch/study/tuning.h"
#include "launch/study/value_json.h"

#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static json_t *values_json(const StudyPoint *point) {
    json_t *values = json_object();
    for (const char *const *key = point->keys; *key != NULL; key++)
        json_object_set_new(values, *key, config_value_json(schema_find(*key), point->config));
    return values;
}

static json_t *point_json(const StudyPoint *point) {
    json_t *object = json_object();
    json_object_set_new(object, "name", json_string_or_null(point->name));
    json_object_set_new(object, "directory", json_string_or_null(point->directory));
    json_object_set_new(object, "values", values_json(point));
    json_object_set_new(object, "state", json_string(point_state_name(point->status.state)));
    json_object_set_new(object, "attempts", json_integer(point->status.attempts));
    json_object_set_new(object, "message", json_string_or_null(point->status.message));
    if (isfinite(point->status.joules))
        json_object_set_new(object, "joules", json_real(point->status.joules));
    return object;
}

/* Where a branch starts, and of which run. */
static void branch_add(const Study *study, const StudyPoint *point, json_t *object) {
    const Fork *fork;
    const Trunk *trunk = trunk_of(study, point, &fork);
    if (trunk == NULL) return;
    const Branch *swept = &trunk->swept->branch;
    json_t *branch = json_object(),
           *at = swept->unit_key == NULL ? json_string(fork->config->text) : json_null();
    json_object_set_new(branch, "at", at);
    json_object_set_new(branch, "tokens", json_integer(fork->cut.tokens));
    json_object_set_new(branch, "run", json_string_or_null(trunk->directory));
    json_object_set_new(branch, "tolerance", json_real(swept->tolerance));
    json_object_set_new(object, "branch", branch);
}

static json_t *report_json(const ConfigReport *report) {
    json_t *object = json_object();
    json_object_set_new(object, "metric", json_string_or_null(report->metric));
    json_object_set_new(object, "reduce",
                        json_string(config_name("report.reduce", (int)report->reduce)));
    json_object_set_new(object, "x", json_string_or_null(report->x));
    json_object_set_new(object, "series", json_string_or_null(report->series));
    return object;
}

/* ---- tuning ---------------------------------------------------------------------------------- */

static json_t *candidate_json(const Study *study, const Tuning *t, const TuneCandidate *c) {
    const StudyPoint *point = &study->points[c->point];
    json_t *object = point_json(point), *losses = json_array();
    bool is_rate = metric_is_rate(study->config->report.metric);
    for (int r = 0; r < t->rungs; r++) {
        bool has_run = c->ended < 0 || r <= c->ended || (c->has_resumed && r == t->rungs - 1);
        double loss = has_run ? c->losses[r] : NAN;
        json_array_append_new(losses,
                              isfinite(loss) ? json_real(is_rate ? -loss : loss) : json_null());
    }
    json_object_set_new(object, "share", json_real(fmin(point->share, point_share(point))));
    json_object_set_new(object, "results", losses);
    json_object_set_new(object, "ended_by_rung",
                        c->ended < 0 ? json_null() : json_integer(c->ended));
    json_object_set_new(object, "why", json_string(c->why));
    json_object_set_new(object, "resumed_beside_best", json_boolean(c->has_resumed));
    json_object_set_new(object, "beyond_grid", json_boolean(c->is_added));
    return object;
}

static json_t *tuning_json(const Study *study, const Tuning *t) {
    json_t *object = json_object(), *keys = json_array(), *shares = json_array(),
           *candidates = json_array();
    for (int i = 0; i < t->combination->tune.n_axes; i++)
        json_array_append_new(keys, json_string(t->combination->tune.axes[i].key));
    for (int r = 0; r < t->rungs; r++) json_array_append_new(shares, json_real(t->shares[r]));
    for (int i = 0; i < t->count; i++)
        json_array_append_new(candidates, candidate_json(study, t, &t->candidates[i]));
    const char *best = t->best < 0 ? NULL : study->points[t->candidates[t->best].point].name;
    json_object_set_new(object, "keys", keys);
    json_object_set_new(object, "rungs", shares);
    json_object_set_new(object, "decided", json_boolean(t->is_decided));
    json_object_set_new(object, "best", json_string_or_null(best));
    json_object_set_new(object, "edge", json_string(t->edge));
    json_object_set_new(object, "candidates", candidates);
    return object;
}

static json_t *tunings_json(const Study *study) {
    json_t *list = json_array();
    for (int i = 0; i < study->sweep->n_combinations; i++)
        json_array_append_new(list, tuning_json(study, &study->tunings[i]));
    return list;
}

static json_t *study_json(const Study *study) {
    json_t *points = json_array(), *slurm = json_object(), *object = json_object();
    for (int i = 0; i < study->count; i++) {
        const StudyPoint *point = &study->points[i];
        if (!point->is_result) continue;
        json_t *item = point_json(point);
        branch_add(study, point, item);
        json_array_append_new(points, item);
    }
    json_object_set_new(slurm, "array", json_string(study->array_job));
    json_object_set_new(slurm, "report", json_string(study->report_job));
    json_object_set_new(object, "study", json_string_or_null(study->config->name));
    json_object_set_new(object, "report", report_json(&study->config->report));
    json_object_set_new(object, "points", points);
    json_object_set_new(object, "slurm", slurm);
    if (study->sweep->n_combinations > 0)
        json_object_set_new(object, "tuning", tunings_json(study));
    return object;
}

Status study_write(const Study *study) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/sweep.json", study->directory);
    return text_file_replace_json(path, study_json(study), JSON_INDENT(2));
}
