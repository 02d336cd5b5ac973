#include "launch/study/overdue.h"

#include "core/base/clock.h"
#include "core/base/processes.h"
#include "launch/run/run_files.h"
#include "launch/run/run_lock.h"

#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* Limits: after the end of the run; until its first rank appears, which a slow disk delays; between
 * SIGTERM and SIGKILL. A rank of another host is no process of this one: its first trace is the
 * lock or the summary, which follow the start of MPI, of the GPU and of the data. Each wait of one
 * rank for others there ends by itself after ten minutes. */
static const double ENDED_SECONDS = 10, START_SECONDS = 60, REMOTE_START_SECONDS = 1800,
                    TERM_SECONDS = 3;
enum { CODE_NONE = -1, CODE_RUNNING = -2 };

/* ---- the processes below one ----------------------------------------------------------------- */

typedef struct Processes {
    ProcessInfo *items;
    size_t count, capacity;
    bool is_whole; /* false if memory was insufficient */
} Processes;

static bool process_add(void *context, const ProcessInfo *process) {
    Processes *all = context;
    if (all->count == all->capacity) {
        size_t capacity = all->capacity == 0 ? 256 : 2 * all->capacity;
        ProcessInfo *grown = realloc(all->items, capacity * sizeof *grown);
        if (grown == NULL) return false;
        all->items = grown;
        all->capacity = capacity;
    }
    all->items[all->count++] = *process;
    return true;
}

/* Moves `root` and its descendants to the front, ancestors first; returns their number. */
static size_t descendants_find(Processes *all, pid_t root) {
    size_t found = 0;
    for (size_t next = 0; next == 0 || next <= found; next++) {
        for (size_t i = found; i < all->count; i++) {
            ProcessInfo process = all->items[i];
            bool is_next =
                next == 0 ? process.pid == root : process.parent == all->items[next - 1].pid;
            if (!is_next) continue;
            all->items[i] = all->items[found];
            all->items[found++] = process;
        }
        if (found == 0) break;
    }
    return found;
}

/* The caller frees it. */
static Processes descendants_of(pid_t root) {
    Processes all = {0};
    all.is_whole = !failed(processes_visit(process_add, &all)) && all.count > 0;
    all.count = descendants_find(&all, root);
    return all;
}

static bool runs(pid_t pid, const struct stat *program) {
    char path[64];
    struct stat info;
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    return stat(path, &info) == 0 && info.st_dev == program->st_dev &&
           info.st_ino == program->st_ino;
}

/* Without information from /proc, assumes that there are ranks. */
static bool has_ranks(const Overdue *o) {
    Processes below = descendants_of(o->pid);
    bool found = !below.is_whole;
    for (size_t i = 0; i < below.count && !found; i++)
        found = runs(below.items[i].pid, &o->program);
    free(below.items);
    return found;
}

static void kill_all(pid_t root) {
    Processes below = descendants_of(root);
    for (size_t i = below.count; i-- > 0;) kill(below.items[i].pid, SIGKILL);
    free(below.items);
    kill(root, SIGKILL);
}

/* ---- the run's files ------------------------------------------------------------------------- */

static void summary_look(const StudyPoint *point, struct stat *out) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/summary.json", point->directory);
    if (stat(path, out) != 0) *out = (struct stat){0};
}

/* The exit code in the summary of this attempt, or CODE_RUNNING; CODE_NONE without a summary. */
static int summary_code(const Overdue *o, const StudyPoint *point) {
    struct stat now;
    Arena arena = {0};
    RunFacts facts;
    int code = CODE_NONE;
    summary_look(point, &now);
    if (now.st_ino == o->summary.st_ino && now.st_mtim.tv_sec == o->summary.st_mtim.tv_sec &&
        now.st_mtim.tv_nsec == o->summary.st_mtim.tv_nsec) {
        return code;
    }
    if (!failed(run_facts_read(point->directory, &arena, &facts))) {
        if (strcmp(facts.status, "running") == 0) code = CODE_RUNNING;
        if (strcmp(facts.status, "done") == 0) code = 0;
        if (strcmp(facts.status, "stopped") == 0) code = status_exit_code(STATUS_STOPPED);
        if (strcmp(facts.status, "failed") == 0) code = status_exit_code(STATUS_FAILURE);
        if (strcmp(facts.outcome, "no_room") == 0) code = status_exit_code(STATUS_OUT_OF_MEMORY);
    }
    arena_free(&arena);
    return code;
}

/* ---- the deadline ---------------------------------------------------------------------------- */

void overdue_begin(Overdue *o, const StudyPoint *point, pid_t pid, const char *train,
                   bool is_remote) {
    *o =
        (Overdue){.pid = pid, .is_remote = is_remote, .looked = clock_seconds(), .since = INFINITY};
    summary_look(point, &o->summary);
    if (stat(train, &o->program) != 0) o->program = (struct stat){0};
}

/* Whether the process has nothing left to wait for. Where the file system has no locks, the summary
 * tells whether ranks of other hosts go on; where it has, a summary stays behind a killed run. */
static bool is_alone(Overdue *o, const StudyPoint *point) {
    bool is_locked = run_lock_is_taken(point->directory);
    o->was_locked |= is_locked;
    int said = is_locked ? CODE_RUNNING : summary_code(o, point);
    bool goes_on = o->is_remote && !o->was_locked && said == CODE_RUNNING;
    bool is_running = is_locked || goes_on || (said < 0 && has_ranks(o));
    o->has_begun |= is_running || said >= 0;
    return !is_running;
}

static double limit_of(const Overdue *o) {
    if (o->has_begun) return ENDED_SECONDS;
    return o->is_remote ? REMOTE_START_SECONDS : START_SECONDS;
}

bool overdue_check(Overdue *o, const StudyPoint *point, char *line, size_t capacity) {
    double now = clock_seconds();
    if (now - o->looked < 0.5) return false;
    o->looked = now;
    if (o->is_ended) {
        if (now - o->since > TERM_SECONDS) kill_all(o->pid);
        return false;
    }
    bool is_over = is_alone(o, point);
    if (!is_over) o->since = INFINITY;
    if (is_over && isinf(o->since)) o->since = now;
    double limit = limit_of(o);
    if (!is_over || now - o->since < limit) return false;
    snprintf(line, capacity,
             "%s: its launcher (process %d) did not end within %.0f s %s; ending it; the "
             "files of the point determine its state",
             point->name, (int)o->pid, limit,
             o->has_begun ? "of the end of its run" : "and has no rank");
    o->is_ended = true;
    o->since = now;
    kill(o->pid, SIGTERM);
    return true;
}

int overdue_code(const Overdue *o, const StudyPoint *point, int code) {
    if (code == 0 && !o->is_ended) return 0;
    int said = summary_code(o, point);
    if (o->is_ended) return said >= 0 ? said : status_exit_code(STATUS_FAILURE);
    return said == 0 ? 0 : code;
}
