/* sweep: runs the points of a study, here or on a cluster, and reports on them. */
#include "core/base/escape.h"
#include "launch/base/at_load.h"
#include "launch/base/options.h"
#include "launch/base/streams.h"
#include "launch/study/cost.h"
#include "launch/study/local.h"
#include "launch/study/report/report.h"
#include "launch/study/slurm.h"
#include "launch/study/table.h"

#include <stdio.h>

typedef struct SweepOptions {
    bool local, slurm, next, dry_run, report;
    int64_t ranks, parallel;
} SweepOptions;

static const Option options[] = {
    {"local", OPTION_FLAG, offsetof(SweepOptions, local),
     .doc = "run the points on this machine, then report"},
    {"slurm", OPTION_FLAG, offsetof(SweepOptions, slurm),
     .doc = "submit the points and the report to Slurm"},
    {"next", OPTION_FLAG, offsetof(SweepOptions, next),
     .doc = "with --slurm, from the job after an array: submit what a tuning needs next, report"},
    {"dry-run", OPTION_FLAG, offsetof(SweepOptions, dry_run),
     .doc = "print points, commands and scripts; change nothing"},
    {"report", OPTION_FLAG, offsetof(SweepOptions, report), .doc = "report the current results"},
    {"ranks", OPTION_INT, offsetof(SweepOptions, ranks), "N", NULL, 1, 100000,
     .doc = "with --local: ranks per point"},
    {"parallel", OPTION_INT, offsetof(SweepOptions, parallel), "N", NULL, 1, 1024,
     .doc = "with --local: points at a time"},
};

static void print_notes(FILE *file) {
    fputs("STUDY is a config with a `sweep`, or the directory of a study. Without --local, --slurm "
          "or --report, ./sweep\n"
          "shows its points. The same command resumes a stopped study. See docs/sweep.md.\n",
          file);
}

static const CommandLine command = {
    .name = "sweep",
    .purpose = "Runs a study: each point of a config's sweep, and a report on them all.",
    .operands = "STUDY",
    .least = 1,
    .most = 1,
    .takes_overrides = true,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .more = print_notes,
};

static Status check_values(const SweepOptions *v) {
    if (v->local && v->slurm)
        return ERROR(STATUS_USAGE, "--local and --slurm exclude each other; choose one");
    if (v->next && !v->slurm) return ERROR(STATUS_USAGE, "--next goes with --slurm");
    if (v->slurm && (v->ranks > 0 || v->parallel > 0)) {
        return ERROR(
            STATUS_USAGE,
            "--ranks and --parallel go with --local; for Slurm the config has launch.slurm");
    }
    if (!v->local && !v->dry_run && (v->ranks > 0 || v->parallel > 0)) {
        return ERROR(STATUS_USAGE, "--ranks and --parallel go with --local, or with --dry-run");
    }
    return OK;
}

static Status print_commands(const Study *study, const SweepOptions *v) {
    Launcher launcher;
    Status status = launcher_open(study, v->ranks, v->parallel, &launcher);
    for (int i = 0; i < study->count && !failed(status); i++) {
        if (slurm_wants(&study->points[i]) || study->points[i].is_blocked)
            status = launcher_print(&launcher, &study->points[i], stdout);
    }
    arena_free(&launcher.arena);
    return status;
}

static Status print_scripts(const Study *study) {
    Arena arena = {0};
    const char *programs = launcher_programs(&arena);
    if (programs == NULL) return OUT_OF_MEMORY("a study");
    escape_say(stdout, "# %s/slurm/points.sh", study->directory);
    Status status = slurm_write_array(study, programs, stdout);
    printf("\n");
    escape_say(stdout, "# %s/slurm/report.sh", study->directory);
    if (!failed(status)) status = slurm_write_report(study, programs, stdout);
    arena_free(&arena);
    return status;
}

static Status dry_run(const Study *study, const SweepOptions *v) {
    table_print(study, stdout);
    TRY(cost_print(study, v->ranks, v->parallel, stdout));
    if (!v->slurm) {
        printf("\n");
        TRY(print_commands(study, v));
    }
    if (!v->local) {
        printf("\n");
        TRY(print_scripts(study));
    }
    return OK;
}

/* A candidate that diverged or did not fit has lost, which is no failure. */
static bool is_failed(const StudyPoint *point) {
    bool has_lost = point->combination >= 0 && point->status.has_diverged && !point->is_result;
    return point->status.state == POINT_FAILED && !has_lost;
}

static bool is_oom(const StudyPoint *point) {
    return point->status.state == POINT_OOM && point->is_result;
}

/* The number of points, and the first one; NULL if there is none. */
static int points_find(const Study *study, bool (*passes)(const StudyPoint *),
                       const StudyPoint **first) {
    int count = 0;
    *first = NULL;
    for (int i = 0; i < study->count; i++) {
        if (!passes(&study->points[i])) continue;
        if (count++ == 0) *first = &study->points[i];
    }
    return count;
}

/* A branch of a trunk that did not fit has no result. */
static bool is_result(const StudyPoint *point) { return point->is_result && !point->is_blocked; }

/* Points that failed for good are a failure. Points that do not fit are a result, unless none
 * fits. */
static Status verdict(const Study *study) {
    const StudyPoint *failure, *oom, *any;
    int n_failed = points_find(study, is_failed, &failure),
        n_oom = points_find(study, is_oom, &oom), n_results = points_find(study, is_result, &any);
    if (n_failed > 0) {
        bool is_final =
            failure->status.is_unreadable || point_exit_is_final(failure->status.exit_code);
        return ERROR(STATUS_FAILURE,
                     "%d of %d points failed; %s: %s; fix this, and the same command%s resumes",
                     n_failed, study->count, failure->name, failure->status.message,
                     is_final ? "" : " with a higher launch.retries=");
    }
    if (n_oom > 0 && n_oom == n_results) {
        return ERROR(STATUS_OUT_OF_MEMORY, "none of %d points fits; %s: %s", n_results, oom->name,
                     oom->status.message);
    }
    return OK;
}

/* Reports the current results; the process that runs the study keeps sweep.json up to date. */
static Status report(Study *study) {
    if (!study_exists(study)) {
        return ERROR(STATUS_CONFIG, "%s: no such study yet; create it with --local or --slurm",
                     study->directory);
    }
    bool is_ours = study->place.lock != NULL,
         is_free = is_ours || !run_lock_is_taken(study->directory);
    if (is_free && !is_ours) TRY(study_claim(study));
    if (is_free) TRY(study_write(study));
    return report_write(study->directory, stdout);
}

static Status run_local(Study *study, const SweepOptions *v) {
    Launcher launcher;
    study_ask(study);
    Status status = launcher_open(study, v->ranks, v->parallel, &launcher);
    if (!failed(status)) status = study_claim(study);
    if (!failed(status)) status = slurm_check_idle(study);
    if (!failed(status)) {
        status = local_run(study, &launcher);
        table_print(study, stdout);
    }
    arena_free(&launcher.arena);
    TRY(status);
    TRY(report(study));
    return verdict(study);
}

static Status run_slurm(Study *study, bool next) {
    TRY(slurm_check_possible());
    if (!next) study_ask(study);
    TRY(study_claim(study));
    if (!next) return slurm_submit(study, stdout);
    TRY(slurm_submit_next(study, stdout));
    return report(study);
}

static Status run_all(const SweepOptions *v, const Arguments *arguments) {
    Study *study = NULL;
    TRY(check_values(v));
    TRY(study_open(arguments->operands[0], arguments->override_count, arguments->overrides,
                   &study));
    Status status = OK;
    if (v->dry_run)
        status = dry_run(study, v);
    else if (v->local)
        status = run_local(study, v);
    else if (v->slurm)
        status = run_slurm(study, v->next);
    else if (v->report)
        status = report(study);
    else
        table_print(study, stdout);
    if (!failed(status)) status = study_check(study);
    study_close(&study);
    return status;
}

int main(int argc, char **argv) {
    at_load_restore();
    streams_open();
    SweepOptions values = {0};
    Arguments arguments;
    Status status = options_parse(&command, argc, argv, &values, &arguments);
    if (!failed(status) && !options_answer(&command, &arguments, &build_info, stdout))
        status = run_all(&values, &arguments);
    arguments_destroy(&arguments);
    return streams_report("sweep", status);
}
