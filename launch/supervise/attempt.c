#include "launch/supervise/attempt.h"

#include "core/base/clock.h"
#include "core/base/escape.h"
#include "core/base/leftovers.h"
#include "launch/base/process.h"
#include "launch/base/signals.h"
#include "launch/base/text_file.h"
#include "launch/study/launcher.h"
#include "launch/study/overdue.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Temporary files of an attempt, and its process. */
typedef struct Child {
    char errors[PROCESS_FILE_BYTES], hostfile[PROCESS_FILE_BYTES];
    FILE *shown; /* `errors`, up to what this process has shown */
    char *train;
    Arena arena;
    pid_t pid;
    double asked; /* clock_seconds of the last request to stop */
} Child;

/* A supervisor that is killed leaves its file of errors, which may grow large. */
static Status child_open(Child *c, const HostList *hosts) {
    static const char *const names[] = {"hourglass-stderr-", NULL};
    leftovers_remove("/tmp", names);
    const char *programs = launcher_programs(&c->arena);
    c->train = programs == NULL ? NULL : arena_printf(&c->arena, "%s/train", programs);
    if (c->train == NULL) return OUT_OF_MEMORY("a command");
    TRY(process_file_create("stderr", c->errors));
    c->shown = fopen(c->errors, "r");
    if (c->shown == NULL)
        return ERROR(STATUS_FAILURE, "%s: cannot be opened: %s", c->errors, strerror(errno));
    if (hosts->count == 0) return OK;
    TRY(process_file_create("hosts", c->hostfile));
    return hosts_write(hosts, c->hostfile);
}

static void child_close(Child *c) {
    if (c->shown != NULL) fclose(c->shown);
    if (c->errors[0] != '\0') unlink(c->errors);
    if (c->hostfile[0] != '\0') unlink(c->hostfile);
    arena_free(&c->arena);
}

static Status child_start(Child *c, const Attempt *a, const SupervisorOptions *o) {
    char *accumulation = arena_printf(&c->arena, "training.gradient_accumulation_steps=%lld",
                                      (long long)a->accumulation);
    char *ranks = arena_printf(&c->arena, "%lld", (long long)a->ranks);
    char *config = arena_strdup(&c->arena, o->config_path);
    char **all = arena_alloc(&c->arena, (size_t)(o->override_count + 16) * sizeof *all);
    if (accumulation == NULL || ranks == NULL || config == NULL || all == NULL)
        return OUT_OF_MEMORY("a command");
    char *const mpirun[] = {"mpirun", "--bind-to", "none", "--oversubscribe", "-np", ranks};
    int n = 0;
    bool has_hosts = c->hostfile[0] != '\0';
    if (a->ranks > 1 || has_hosts) {
        for (size_t i = 0; i < sizeof mpirun / sizeof *mpirun; i++) all[n++] = mpirun[i];
    }
    if (has_hosts) {
        all[n++] = "--hostfile";
        all[n++] = c->hostfile;
    }
    all[n++] = c->train;
    all[n++] = config;
    for (int i = 0; i < o->override_count; i++) all[n++] = o->overrides[i];
    if (a->ranks != o->ranks && a->accumulation > 0) all[n++] = accumulation;
    all[n] = NULL;
    char *const as_root[] = {"OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1", NULL};
    return process_start(&(ProcessPlan){.arguments = all,
                                        .errors = c->errors,
                                        .shows_output = true,
                                        .variables = geteuid() == 0 ? as_root : NULL},
                         &c->pid);
}

/* Shows what the run has written to standard error since the last call. */
static void errors_show(Child *c) {
    char text[4096];
    clearerr(c->shown);
    for (size_t n; (n = fread(text, 1, sizeof text, c->shown)) > 0;) fwrite(text, 1, n, stderr);
    fflush(stderr);
}

/* mpirun forwards SIGUSR1 to its ranks, once it has any; hence the repetition. */
static void stop_forward(Child *c) {
    if (signals_request() == STOP_NONE || clock_seconds() - c->asked < 1) return;
    kill(c->pid, SIGUSR1);
    c->asked = clock_seconds();
}

static int child_await(Child *c, const Config *config, bool is_remote) {
    StudyPoint run = {.name = config->name, .directory = config->output};
    Overdue overdue;
    int code = -1;
    char line[512];
    overdue_begin(&overdue, &run, c->pid, c->train, is_remote);
    while (!process_has_ended(c->pid, &code)) {
        errors_show(c);
        stop_forward(c);
        if (overdue_check(&overdue, &run, line, sizeof line))
            escape_say(stderr, "supervise: %s", line);
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
    errors_show(c);
    code = overdue_code(&overdue, &run, code);
    bool is_ours = signals_request() != STOP_NONE && code == 128 + SIGUSR1;
    return is_ours ? status_exit_code(STATUS_STOPPED) : code;
}

/* The first paragraph of mpirun's first notice, which stands between lines of dashes; NULL without
 * one. Changes the text. */
static const char *notice_find(char *text) {
    char *notice = strstr(text, "-----");
    if (notice == NULL) return NULL;
    notice += strspn(notice, "-\r\n ");
    char *blank = strstr(notice, "\n\n"), *closing = strstr(notice, "\n-----");
    if (blank != NULL) *blank = '\0';
    if (closing != NULL) *closing = '\0';
    for (char *end = notice; (end = strchr(end, '\n')) != NULL;) *end = ' ';
    return *notice == '\0' ? NULL : notice;
}

/* The first error line; without one, a notice of mpirun or the last line. */
static void cause_find(Child *c, Attempt *a) {
    const char *text = NULL, *found = NULL, *last = NULL;
    if (failed(text_file_read(&c->arena, c->errors, &text)) || text == NULL) text = "";
    char *rest = arena_strdup(&c->arena, text), *again = arena_strdup(&c->arena, text);
    while (rest != NULL && found == NULL) {
        const char *line = strsep(&rest, "\n");
        const char *error = strstr(line, "error: ");
        if (error != NULL) found = error + strlen("error: ");
        if (*line != '\0') last = line;
    }
    if (found == NULL && again != NULL) found = notice_find(again);
    escape_text(found != NULL  ? found
                : last != NULL ? last
                               : "no message",
                a->cause, sizeof a->cause);
}

static Status execute(Child *c, Attempt *a, const Config *config, const SupervisorOptions *options,
                      const HostList *hosts) {
    double begin = clock_seconds();
    TRY(child_open(c, hosts));
    TRY(child_start(c, a, options));
    a->code = child_await(c, config, hosts_are_elsewhere(hosts));
    a->seconds = clock_seconds() - begin;
    cause_find(c, a);
    return OK;
}

Status attempt_execute(Attempt *attempt, const Config *config, const SupervisorOptions *options,
                       const HostList *hosts) {
    Child child = {0};
    Status status = execute(&child, attempt, config, options, hosts);
    child_close(&child);
    return status;
}
