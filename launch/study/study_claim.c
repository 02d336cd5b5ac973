/* Claims the directory of a study: creates a new one as a whole, continues an existing one of the
 * same study, and refuses anything else. */
#include "data/directory.h"
#include "launch/base/text_file.h"
#include "launch/config/config_load.h"
#include "launch/config/field.h"
#include "launch/study/study.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Whether every point of the sweep sets the key, so that the study's own value is never used. */
static bool is_swept(const YamlNode *sweep, const char *key) {
    if (sweep->kind == NODE_MAP) return node_find(sweep, key) != NULL;
    for (const YamlNode *point = sweep->first; point != NULL; point = point->next) {
        if (node_find(point, key) == NULL) return false;
    }
    return true;
}

/* Settings of launch and report may change during a study, and points may come and go. The settings
 * of a point may not: see compare_point. */
static bool may_change(const Field *field, const Config *saved, const Config *now) {
    (void)saved;
    return strncmp(field->path, "launch.", 7) == 0 || strncmp(field->path, "report.", 7) == 0 ||
           field->type == FIELD_SWEEP || is_swept(now->sweep, field->path);
}

static Status compare_study(const Study *study, const Config *saved) {
    char *text = NULL;
    int count;
    Status status = fields_compare(saved, study->config, may_change, &text, &count);
    if (!failed(status) && count > 0) {
        status = ERROR(
            STATUS_CONFIG,
            "%s: contains another study, which differs in %s; choose another `name` or `output`",
            study->directory, text);
    }
    free(text);
    return status;
}

/* The settings with which a point was created must equal the current ones in everything that
 * affects its numbers. */
static Status compare_point(const Study *study, const StudyPoint *point) {
    char path[PATH_MAX];
    Config *made = NULL;
    snprintf(path, sizeof path, "%s/config.yaml", point->directory);
    if (access(path, F_OK) != 0) return OK;
    TRY(config_load(path, 0, NULL, &made));
    Status status = config_compare_resume(made, point->config);
    config_destroy(&made);
    if (status.code != STATUS_CONFIG) return status;
    return ERROR(STATUS_CONFIG, "%s: contains another study: its point %s: %s", study->directory,
                 point->name, status_message());
}

static Status compare_points(const Study *study, int first) {
    for (int i = first; i < study->count; i++) TRY(compare_point(study, &study->points[i]));
    return OK;
}

static Status compare_all(const Study *study) {
    char path[PATH_MAX];
    Config *saved = NULL;
    snprintf(path, sizeof path, "%s/study.yaml", study->directory);
    TRY(config_load(path, 0, NULL, &saved));
    Status status = compare_study(study, saved);
    config_destroy(&saved);
    return failed(status) ? status : compare_points(study, 0);
}

static Status write_config(const Config *config, const char *directory, const char *name) {
    char path[PATH_MAX];
    char *text = config_text(config);
    if (text == NULL) return OUT_OF_MEMORY("the config's text");
    snprintf(path, sizeof path, "%s/%s", directory, name);
    Status status = text_file_replace(path, text);
    free(text);
    return status;
}

/* Creates a point's directory again if it was removed, which is how a user restarts one point. */
static Status make_point(const StudyPoint *point) {
    char path[PATH_MAX];
    size_t made;
    snprintf(path, sizeof path, "%s/config.yaml", point->directory);
    if (access(path, F_OK) == 0) return OK;
    TRY(directory_create(point->directory, &made));
    return write_config(point->config, point->directory, "config.yaml");
}

static Status make_points(const Study *study, int first) {
    for (int i = first; i < study->count; i++) TRY(make_point(&study->points[i]));
    return OK;
}

Status study_claim_points(Study *study, int first) {
    TRY(compare_points(study, first));
    return make_points(study, first);
}

/* Writes study.yaml first; the next start can create everything else. */
static Status make_all(Study *study) {
    TRY(write_config(study->config, study->directory, "study.yaml"));
    TRY(make_points(study, 0));
    study_refresh(study);
    TRY(study_advance(study));
    return study_write(study);
}

Status study_claim(Study *study) {
    TRY(run_directory_take(study->directory, &directory_of_a_study, true, &study->place));
    if (study_exists(study)) TRY(compare_all(study));
    TRY(study_read_jobs(study));
    return make_all(study);
}
