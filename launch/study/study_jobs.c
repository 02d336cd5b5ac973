/* The numbers of a study's Slurm jobs. slurm/jobs.log has a line per job: "array 101", "report
 * 102". sweep.json, which is written later, has the last ones; versions without jobs.log wrote it
 * alone. */
#include "core/base/replacement.h"
#include "launch/base/text_file.h"
#include "launch/study/study.h"

#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LOG_BYTES = 4096 };

static bool is_number(const char *job) {
    return job[strspn(job, "0123456789")] == '\0' && strlen(job) < JOB_BYTES;
}

static bool take_job(const json_t *slurm, const char *key, char job[JOB_BYTES]) {
    const char *text = json_string_value(json_object_get(slurm, key));
    if (text == NULL || !is_number(text)) return false;
    snprintf(job, JOB_BYTES, "%s", text);
    return true;
}

/* STATUS_DATA if the file exists but has no job numbers. */
static Status read_json(Study *study, const char *path) {
    json_t *object = NULL;
    TRY(text_file_read_json(path, &object));
    bool is_there = object != NULL;
    const json_t *slurm = json_object_get(object, "slurm");
    bool tells =
        take_job(slurm, "array", study->array_job) && take_job(slurm, "report", study->report_job);
    json_decref(object);
    return tells || !is_there ? OK : ERROR(STATUS_DATA, "%s: has no Slurm job numbers", path);
}

static Status read_log(Study *study, bool *is_there) {
    char path[PATH_MAX], text[LOG_BYTES], *rest = text, kind[8], job[JOB_BYTES];
    snprintf(path, sizeof path, "%s/slurm/jobs.log", study->directory);
    *is_there = access(path, F_OK) == 0;
    TRY(text_file_tail(path, text, sizeof text));
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        if (sscanf(line, "%7s %31s", kind, job) != 2 || !is_number(job)) continue;
        if (strcmp(kind, "array") == 0) study->report_job[0] = '\0';
        strcpy(strcmp(kind, "array") == 0 ? study->array_job : study->report_job, job);
    }
    return OK;
}

/* Versions without jobs.log wrote the script before they submitted it. */
static bool may_have_submitted(const Study *study) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/slurm/points.sh", study->directory);
    return access(path, F_OK) == 0;
}

static Status set_aside(const Study *study, const char *path, bool has_log) {
    char why[256], to[PATH_MAX], line[2 * PATH_MAX];
    snprintf(why, sizeof why, "%s", status_message());
    if (!has_log && may_have_submitted(study)) {
        return ERROR(STATUS_DATA,
                     "%s: jobs of this study may be queued; see squeue --me, cancel them or wait, "
                     "then move the file away",
                     why);
    }
    TRY(replacement_set_aside(path, to, sizeof to));
    snprintf(line, sizeof line, "%s; renamed to %s and written again", why, to);
    status_warn("sweep", line);
    return OK;
}

Status study_read_jobs(Study *study) {
    char path[PATH_MAX];
    bool has_log = false;
    study->array_job[0] = study->report_job[0] = '\0';
    snprintf(path, sizeof path, "%s/sweep.json", study->directory);
    Status status = read_json(study, path);
    if (failed(status) && status.code != STATUS_DATA) return status;
    TRY(failed(read_log(study, &has_log)) ? ERROR(STATUS_FAILURE, "%s", status_message()) : OK);
    return failed(status) ? set_aside(study, path, has_log) : OK;
}

Status study_note_job(const Study *study, const char *kind, const char *job) {
    char path[PATH_MAX], line[64];
    snprintf(path, sizeof path, "%s/slurm/jobs.log", study->directory);
    snprintf(line, sizeof line, "%s %s", kind, job);
    return text_file_append(path, line);
}
