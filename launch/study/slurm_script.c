#include "launch/study/shell_word.h"
#include "launch/study/slurm.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool slurm_wants(const StudyPoint *point) {
    PointState state = point->status.state;
    return !point->is_over && !point->is_blocked && !point->is_submitted && state != POINT_DONE &&
           state != POINT_OOM && state != POINT_RUNNING;
}

static void option(FILE *file, const char *name, const char *value) {
    fprintf(file, "#SBATCH --%s=", name);
    shell_word(value, file);
    fputc('\n', file);
}

static void option_int(FILE *file, const char *name, int64_t value) {
    fprintf(file, "#SBATCH --%s=%" PRId64 "\n", name, value);
}

/* In file names of Slurm a percent sign starts a pattern; two percent signs stand for one. */
static void option_output(FILE *file, const Study *study, const char *pattern) {
    char path[PATH_MAX];
    size_t used = 0;
    for (const char *c = study->directory; *c != '\0' && used + 64 < sizeof path; c++) {
        path[used++] = *c;
        if (*c == '%') path[used++] = '%';
    }
    snprintf(path + used, sizeof path - used, "/slurm/%s", pattern);
    option(file, "output", path);
    fputs("#SBATCH --open-mode=append\n", file);
}

/* The options that both jobs share. */
static void options_common(const Study *study, const char *suffix, FILE *file) {
    const ConfigSlurm *slurm = &study->config->launch.slurm;
    char name[PATH_MAX];
    snprintf(name, sizeof name, "%s%s", study->config->name, suffix);
    fputs("#!/bin/bash\n", file);
    option(file, "job-name", name);
    if (slurm->partition != NULL) option(file, "partition", slurm->partition);
    if (slurm->account != NULL) option(file, "account", slurm->account);
}

/* The warning comes early enough to save, but not in the first half of the time. */
static void options_time(const ConfigSlurm *slurm, FILE *file) {
    int64_t seconds = (int64_t)slurm->time,
            warning = seconds > 0 && seconds < 360 ? seconds / 2 : 180;
    if (seconds > 0) {
        fprintf(file, "#SBATCH --time=%02" PRId64 ":%02" PRId64 ":%02" PRId64 "\n", seconds / 3600,
                seconds / 60 % 60, seconds % 60);
    }
    fprintf(file, "#SBATCH --signal=B:USR1@%" PRId64 "\n", warning);
}

static void options_array(const Study *study, FILE *file) {
    const ConfigSlurm *slurm = &study->config->launch.slurm;
    int count = 0;
    for (int i = 0; i < study->count; i++) count += slurm_wants(&study->points[i]);
    options_common(study, "", file);
    fprintf(file, "#SBATCH --array=0-%d%%%" PRId64 "\n", count > 0 ? count - 1 : 0,
            slurm->array_limit);
    option_int(file, "nodes", slurm->nodes);
    option_int(file, "ntasks-per-node", slurm->ranks_per_node);
    option_int(file, "cpus-per-task", slurm->cpus_per_rank);
    options_time(slurm, file);
    fputs(slurm->requeue ? "#SBATCH --requeue\n" : "#SBATCH --no-requeue\n", file);
    option_output(file, study, "%A_%a.log");
    for (int i = 0; i < slurm->options.count; i++)
        fprintf(file, "#SBATCH %s\n", slurm->options.items[i]);
}

static void lines(const ConfigStrings *setup, FILE *file) {
    for (int i = 0; i < setup->count; i++) fprintf(file, "%s\n", setup->items[i]);
}

/* The override that ends each point at its next rung or fork; none for others. */
static void write_limits(const Study *study, FILE *file) {
    char limit[LIMIT_BYTES];
    fputs("limits=(", file);
    for (int i = 0; i < study->count; i++) {
        if (!slurm_wants(&study->points[i])) continue;
        fputc(' ', file);
        shell_word(point_limit(&study->points[i], limit), file);
    }
    fputs(" )\nlimit=${limits[SLURM_ARRAY_TASK_ID]}\n", file);
}

static void write_points(const Study *study, FILE *file) {
    fputs("points=(\n", file);
    for (int i = 0; i < study->count; i++) {
        if (!slurm_wants(&study->points[i])) continue;
        fputs("  ", file);
        shell_word(study->points[i].name, file);
        fputc('\n', file);
    }
    fputs(")\n", file);
    if (study_has_stages(study)) write_limits(study, file);
    fputs("run=", file);
    shell_word(study->directory, file);
    fputs("/\"${points[SLURM_ARRAY_TASK_ID]}\"\n", file);
}

static void write_command(const Study *study, const char *programs, FILE *file) {
    const ConfigSlurm *slurm = &study->config->launch.slurm;
    int64_t ranks = slurm->nodes * slurm->ranks_per_node;
    if (ranks > 1) fprintf(file, "mpirun --bind-to none -np %" PRId64 " ", ranks);
    shell_word(programs, file);
    fputs("/train \"$run/config.yaml\" ", file);
    if (study_has_stages(study)) fputs("${limit:+\"$limit\"} ", file);
    fputs("2>\"$run/stderr.log\" &\n", file);
}

static const char before_setup[] =
    "\n"
    "# Before the time limit Slurm sends USR1 only to this shell. mpirun forwards it to the ranks, "
    "which save a\n"
    "# checkpoint and exit with 75. Starting ranks ignore it, so it is repeated until they have "
    "ended.\n"
    "again=0\n"
    "warned=0\n"
    "pid=\n"
    "verb=exit\n"
    "warn() { while kill -USR1 \"$pid\" 2>/dev/null; do sleep 1; done & }\n"
    "trap 'again=1; warned=1; [ -z \"$pid\" ] || warn' USR1\n";

static const char before_run[] =
    "\n"
    "# When the job is canceled, preempted or requeued, all processes get TERM; its sender decides "
    "whether the task\n"
    "# continues.\n"
    "trap 'again=1; verb=stopped' TERM\n"
    "echo \"start $(date -u +%FT%TZ) $(hostname) job ${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID\" "
    ">>\"$run/attempts.log\" || exit 1\n";

/* `wait` returns when a trap has run, so the script waits again. 138 is death by USR1. */
static const char after_run[] = "pid=$!\n"
                                "[ $warned = 0 ] || warn\n"
                                "wait \"$pid\"\n"
                                "code=$?\n"
                                "while [ $again = 1 ]; do\n"
                                "  again=0\n"
                                "  wait \"$pid\"\n"
                                "  code=$?\n"
                                "done\n"
                                "[ $warned$code != 1138 ] || code=75 # killed by USR1 before its "
                                "handler, or after the ranks; the checkpoint is good\n"
                                "cat \"$run/stderr.log\" >&2\n"
                                "echo \"$verb $code $(date -u +%FT%TZ)\" >>\"$run/attempts.log\" "
                                "|| exit \"$code\"\n"
                                "[ $verb = exit ] || exit \"$code\"\n";

/* Requeues a task that stopped early or whose failure another attempt may avoid. The array's number
 * and the task's own number identify a task. */
static void write_requeue(const Study *study, FILE *file) {
    const ConfigLaunch *launch = &study->config->launch;
    fputs("\n"
          "requeue() {\n"
          "  for pause in 1 10 30 60 0; do # a controller that restarts does not answer\n"
          "    scontrol requeue \"${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID\" && return\n"
          "    sleep $pause\n"
          "  done\n"
          "}\n"
          "! grep -qs '\"outcome\": \"no_room\"' \"$run/summary.json\" || code=71 # mpirun may "
          "change it\n"
          "case $code in\n"
          "  75) requeue ;;          # a good checkpoint\n"
          "  0 | 64 | 65 | 71 | 78) ;; # done, or it would end so again; 71: it does not fit\n",
          file);
    fprintf(file,
            "  *) # without the log it might be requeued for ever\n"
            "    if attempts=$(cat \"$run/attempts.log\"); then\n"
            "      failures=$(printf '%%s\\n' \"$attempts\" | awk '/^exit 0 /{n = 0; next} "
            "/^exit / && !/^exit (64|65|71|75|78) /{n++} END{print n + 0}')\n"
            "      [ \"$failures\" -le %" PRId64 " ] && requeue\n"
            "    fi ;;\n"
            "esac\n",
            launch->retries);
}

static Status written(FILE *file) {
    return ferror(file) ? ERROR(STATUS_FAILURE, "cannot write a script for Slurm") : OK;
}

Status slurm_write_array(const Study *study, const char *programs, FILE *file) {
    options_array(study, file);
    fputc('\n', file);
    write_points(study, file);
    fputs(before_setup, file);
    lines(&study->config->launch.slurm.setup, file);
    fputs(before_run, file);
    write_command(study, programs, file);
    fputs(after_run, file);
    if (study->config->launch.slurm.requeue) write_requeue(study, file);
    fputs("exit \"$code\"\n", file);
    return written(file);
}

Status slurm_write_report(const Study *study, const char *programs, FILE *file) {
    options_common(study, "_report", file);
    fputs("#SBATCH --nodes=1\n#SBATCH --ntasks=1\n#SBATCH --time=00:10:00\n", file);
    option_output(file, study, "report_%j.log");
    fputc('\n', file);
    lines(&study->config->launch.slurm.setup, file);
    fputs("exec ", file);
    shell_word(programs, file);
    fputs("/sweep ", file);
    shell_word(study->directory, file);
    fputs(study_has_stages(study) ? " --slurm --next\n" : " --report\n", file);
    return written(file);
}
