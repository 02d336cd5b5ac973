#include "launch/study/slurm.h"

#include "core/base/escape.h"
#include "data/directory.h"
#include "launch/base/process.h"
#include "launch/base/text_file.h"
#include "launch/study/launcher.h"
#include "launch/study/slurm_command.h"

#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { OUTPUT_BYTES = 4096, JOBS_BYTES = 2 * JOB_BYTES + 2 };

typedef Status (*ScriptFn)(const Study *study, const char *programs, FILE *file);

/* "101,102", as squeue and scancel take them. */
static void jobs_list(const char *array, const char *report, char out[JOBS_BYTES]) {
    snprintf(out, JOBS_BYTES, "%s%s%s", array, *report == '\0' ? "" : ",", report);
}

/* `report`: the job of the report; "" if that is this process. */
static Status check_idle(const Study *study, const char *report) {
    char jobs[JOBS_BYTES], output[OUTPUT_BYTES], errors[OUTPUT_BYTES];
    int code;
    if (study->array_job[0] == '\0' || !process_can_find("squeue")) return OK;
    jobs_list(study->array_job, report, jobs);
    char *const arguments[] = {"squeue", "--noheader", "--format=%i", "--jobs", jobs, NULL};
    TRY(slurm_command_run(arguments, output, errors, sizeof output, &code));
    if (code != 0 && strstr(errors, "Invalid job id") != NULL)
        return OK; /* Slurm has already forgotten the job */
    errors[strcspn(errors, "\n")] = '\0';
    if (code != 0) return ERROR(STATUS_FAILURE, "squeue: %s", errors);
    if (output[0] == '\0') return OK;
    return ERROR(STATUS_FAILURE,
                 "%s: jobs of this study are queued or running; run scancel %s, or wait for them",
                 study->directory, jobs);
}

Status slurm_check_idle(const Study *study) { return check_idle(study, study->report_job); }

/* Writes a script to the directory of its logs; returns its path. */
static Status script_make(const Study *study, const char *name, ScriptFn write,
                          const char *programs, char path[PATH_MAX]) {
    char *text = NULL;
    size_t bytes, made;
    snprintf(path, PATH_MAX, "%s/slurm", study->directory);
    TRY(directory_create(path, &made));
    snprintf(path, PATH_MAX, "%s/slurm/%s", study->directory, name);
    FILE *file = open_memstream(&text, &bytes);
    if (file == NULL) return OUT_OF_MEMORY("%s", path);
    Status status = write(study, programs, file);
    if (fclose(file) != 0 && !failed(status)) status = OUT_OF_MEMORY("%s", path);
    if (!failed(status)) status = text_file_replace(path, text);
    free(text);
    return status;
}

/* sbatch --parsable prints NUMBER or NUMBER;CLUSTER. */
static Status submit(char *path, char *dependency, char job[JOB_BYTES]) {
    char output[OUTPUT_BYTES], errors[OUTPUT_BYTES];
    char *const arguments[] = {"sbatch", "--parsable", dependency == NULL ? path : dependency,
                               dependency == NULL ? NULL : path, NULL};
    int code;
    TRY(process_run(arguments, output, errors, sizeof output, &code));
    errors[strcspn(errors, "\n")] = '\0';
    if (code != 0) return ERROR(STATUS_FAILURE, "%s: sbatch refused it: %s", path, errors);
    output[strcspn(output, ";\n")] = '\0';
    if (*output == '\0' || strspn(output, "0123456789") != strlen(output)) {
        return ERROR(
            STATUS_FAILURE,
            "%s: sbatch printed '%s' instead of a job number; see squeue, and cancel the job", path,
            output);
    }
    snprintf(job, JOB_BYTES, "%.*s", JOB_BYTES - 1, output);
    return OK;
}

static void points_path(const Study *study, char path[PATH_MAX]) {
    snprintf(path, PATH_MAX, "%s/slurm/points.log", study->directory);
}

/* Records the limits up to which the submitted points run. */
static Status points_note(const Study *study) {
    char path[PATH_MAX], line[PATH_MAX], limit[LIMIT_BYTES];
    points_path(study, path);
    for (int i = 0; i < study->count && study_has_stages(study); i++) {
        const StudyPoint *point = &study->points[i];
        if (!slurm_wants(point)) continue;
        snprintf(line, sizeof line, "%s %s", point->name, point_limit(point, limit));
        TRY(text_file_append(path, line));
    }
    return OK;
}

static StudyPoint *point_find(const Study *study, const char *name) {
    for (int i = 0; i < study->count; i++) {
        if (strcmp(study->points[i].name, name) == 0) return &study->points[i];
    }
    return NULL;
}

/* Excludes the points that were submitted up to their limit: whoever canceled them decides. */
static Status points_exclude(Study *study) {
    Arena arena = {0};
    char path[PATH_MAX], limit[LIMIT_BYTES];
    const char *text = NULL;
    points_path(study, path);
    Status status = text_file_read(&arena, path, &text);
    char *rest = failed(status) || text == NULL ? NULL : arena_strdup(&arena, text);
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        char *name = strsep(&line, " ");
        StudyPoint *point = line == NULL ? NULL : point_find(study, name);
        if (point != NULL && strcmp(line, point_limit(point, limit)) == 0)
            point->is_submitted = true;
    }
    arena_free(&arena);
    return status;
}

/* After the array is queued. Notes it before all else: a second submission would run the points
 * twice. */
static Status submit_rest(Study *study, const char *programs) {
    char path[PATH_MAX], dependency[64];
    TRY(study_note_job(study, "array", study->array_job));
    TRY(points_note(study));
    TRY(study_write(study));
    TRY(script_make(study, "report.sh", slurm_write_report, programs, path));
    snprintf(dependency, sizeof dependency, "--dependency=afterany:%s", study->array_job);
    TRY(submit(path, dependency, study->report_job));
    TRY(study_note_job(study, "report", study->report_job));
    return study_write(study);
}

static Status submit_both(Study *study, const char *programs) {
    char path[PATH_MAX], jobs[JOBS_BYTES];
    TRY(script_make(study, "points.sh", slurm_write_array, programs, path));
    TRY(submit(path, NULL, study->array_job));
    study->report_job[0] = '\0';
    Status status = submit_rest(study, programs);
    jobs_list(study->array_job, study->report_job, jobs);
    return failed(status)
               ? ERROR(status.code,
                       "%s; job %s is queued: run scancel %s, or wait for it, before the next "
                       "submission",
                       status_message(), jobs, jobs)
               : OK;
}

Status slurm_check_possible(void) {
    if (process_can_find("sbatch")) return OK;
    return ERROR(STATUS_CONFIG,
                 "sbatch is not in PATH; use a machine that submits to Slurm, or --local");
}

/* Signals wait until the jobs are recorded and named: nobody would know of a job that was queued
 * when its submission ended. After a failure they wait for its message, too. */
static void signals_hold(sigset_t *before) {
    sigset_t held;
    sigemptyset(&held);
    sigaddset(&held, SIGINT);
    sigaddset(&held, SIGTERM);
    sigaddset(&held, SIGHUP);
    sigprocmask(SIG_BLOCK, &held, before);
}

static Status submit_points(Study *study, int count, FILE *messages) {
    Arena arena = {0};
    const char *programs = launcher_programs(&arena);
    Status status = programs == NULL ? OUT_OF_MEMORY("a study") : submit_both(study, programs);
    arena_free(&arena);
    TRY(status);
    escape_say(messages,
               "submitted job array %s with %d points, and job %s for the report; ./sweep %s shows "
               "how far they are",
               study->array_job, count, study->report_job, study->directory);
    return OK;
}

static Status submit_all(Study *study, FILE *messages) {
    int count = 0;
    for (int i = 0; i < study->count; i++) count += slurm_wants(&study->points[i]);
    if (count == 0) {
        escape_say(messages, "%s: no point is left to run", study->directory);
        return OK;
    }
    sigset_t before;
    signals_hold(&before);
    Status status = submit_points(study, count, messages);
    fflush(messages);
    if (!failed(status)) sigprocmask(SIG_SETMASK, &before, NULL);
    return status;
}

Status slurm_submit(Study *study, FILE *messages) {
    TRY(slurm_check_idle(study));
    study_say_former(study, messages);
    return submit_all(study, messages);
}

Status slurm_submit_next(Study *study, FILE *messages) {
    TRY(check_idle(study, ""));
    TRY(points_exclude(study));
    return submit_all(study, messages);
}
