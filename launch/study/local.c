#include "launch/study/local.h"

#include "core/base/clock.h"
#include "core/base/escape.h"
#include "launch/base/process.h"
#include "launch/base/signals.h"
#include "launch/study/overdue.h"
#include "launch/study/table.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

static const double UNSTARTED_SECONDS = 2; /* before another attempt */

typedef struct PointSlot {
    pid_t pid;
    int point; /* -1: free */
    Overdue overdue;
} PointSlot;

typedef struct Local {
    Study *study;
    Launcher *launcher;
    PointSlot *slots;
    bool *has_lost;  /* of each point: a line of its attempts.log was lost, and it was said */
    bool is_unsaved; /* sweep.json could not be written once, and it was said */
    bool stopping;
    LiveTable table;
    double refreshed; /* clock_seconds; likewise the time of the last request to stop */
    double asked;
} Local;

static bool is_ours(const Local *l, int point) {
    for (int i = 0; i < l->launcher->parallel; i++) {
        if (l->slots[i].point == point) return true;
    }
    return false;
}

/* Reads the state of a point from its directory. A point that this process runs counts as running
 * before its directory says so. */
static void refresh(Local *l, int i) {
    StudyPoint *point = &l->study->points[i];
    point_refresh(point);
    if (!is_ours(l, i)) return;
    point->status.state = POINT_RUNNING;
    point->status.message[0] = '\0';
}

static void say_end(const Local *l, const StudyPoint *point) {
    const PointStatus *s = &point->status;
    if (l->table.watched) return;
    printf("%s: %s", point->name, point_state_name(s->state));
    if (s->step >= 0) printf(" | step %lld", (long long)s->step);
    if (isfinite(s->best_val_loss)) printf(" | best validation loss %.4f", s->best_val_loss);
    if (isfinite(s->train_s)) printf(" | %.1f s of training", s->train_s);
    printf("%s%s\n", s->message[0] == '\0' ? "" : " | ", s->message);
    fflush(stdout);
}

/* A log that takes no line costs that line, and is said once for each point. */
static void say_lost(Local *l, int i, Status noted) {
    if (!failed(noted) || l->has_lost[i]) return;
    l->has_lost[i] = true;
    table_live_clear(&l->table);
    escape_say(stderr, "sweep: warning: %s; the study goes on without this line", status_message());
}

/* The next change writes sweep.json again, and the report at the end, which reads it, needs it. */
static void save(Local *l) {
    if (!failed(study_write(l->study)) || l->is_unsaved) return;
    l->is_unsaved = true;
    table_live_clear(&l->table);
    escape_say(stderr, "sweep: warning: %s; the study goes on", status_message());
}

/* Lets trunks and tunings decide what to run next. They read the states of all points again. */
static Status go_on(Local *l) {
    TRY(study_advance(l->study));
    for (int i = 0; i < l->launcher->parallel; i++) {
        if (l->slots[i].point >= 0) refresh(l, l->slots[i].point);
    }
    save(l);
    return OK;
}

static void slot_end(Local *l, PointSlot *slot, int code) {
    StudyPoint *point = &l->study->points[slot->point];
    /* SIGUSR1 ended the process: ./train before it handles the signal, or mpirun after its ranks
     * have ended with 75. */
    if (l->stopping && code == 128 + SIGUSR1) code = 75;
    bool stopped = l->stopping && code != 0 && code != 75;
    say_lost(l, slot->point, point_note_end(point, code, stopped));
    point->is_asked = false;
    slot->point = -1;
    point_refresh(point);
    say_end(l, point);
}

/* Whether a slot's process has ended, and its exit code. Ends a launcher that hangs after its run,
 * with a message. */
static bool slot_has_ended(Local *l, PointSlot *slot, int *code) {
    const StudyPoint *point = &l->study->points[slot->point];
    char line[512];
    if (process_has_ended(slot->pid, code)) {
        *code = overdue_code(&slot->overdue, point, *code);
        return true;
    }
    if (overdue_check(&slot->overdue, point, line, sizeof line)) {
        table_live_clear(&l->table);
        escape_say(stderr, "sweep: %s", line);
    }
    return false;
}

static Status reap(Local *l) {
    for (int i = 0; i < l->launcher->parallel; i++) {
        PointSlot *slot = &l->slots[i];
        int code;
        if (slot->point < 0 || !slot_has_ended(l, slot, &code)) continue;
        slot_end(l, slot, code);
        TRY(go_on(l));
    }
    return OK;
}

static bool may_start(const Local *l, int i, bool again) {
    const StudyPoint *point = &l->study->points[i];
    const PointStatus *s = &point->status;
    int64_t retries = l->study->config->launch.retries;
    if (s->is_unreadable) return false; /* nor would its failures be counted */
    if (point->is_over || point->is_blocked) return false;
    if (s->state == POINT_WAITING || s->state == POINT_INTERRUPTED) return !again;
    return again && s->state == POINT_FAILED && !point_is_given_up(point, retries);
}

/* The next point to start, or -1: the first of the lowest order, so that a combination is complete
 * before the next one starts. Failed points come last. */
static int point_next(const Local *l) {
    int next = -1;
    for (int again = 0; again < 2 && next < 0; again++) {
        for (int i = 0; i < l->study->count; i++) {
            bool is_first = next < 0 || l->study->points[i].order < l->study->points[next].order;
            if (is_first && may_start(l, i, again != 0)) next = i;
        }
    }
    return next;
}

/* A system that has no process or file to give now may have one later. */
static void say_unstarted(Local *l, int i) {
    StudyPoint *point = &l->study->points[i];
    table_live_clear(&l->table);
    escape_say(stderr, "sweep: %s: %s; counts as a failed attempt", point->name, status_message());
    say_lost(l, i, point_note_end(point, status_exit_code(STATUS_FAILURE), false));
    refresh(l, i);
    signals_sleep(UNSTARTED_SECONDS, STOP_SAVE);
}

static Status slot_start(Local *l, int slot, int i) {
    StudyPoint *point = &l->study->points[i];
    int attempt = point->status.attempts + 1;
    say_lost(l, i, point_note_start(point));
    if (failed(launcher_start(l->launcher, point, slot, &l->slots[slot].pid))) {
        say_unstarted(l, i);
        return go_on(l);
    }
    overdue_begin(&l->slots[slot].overdue, point, l->slots[slot].pid, l->launcher->train, false);
    l->slots[slot].point = i;
    refresh(l, i);
    if (!l->table.watched) {
        printf("%s: %s, attempt %d\n", point->name, point->status.step >= 0 ? "resumes" : "starts",
               attempt);
        fflush(stdout);
    }
    save(l);
    return OK;
}

static Status fill(Local *l) {
    for (int i = 0; i < l->launcher->parallel; i++) {
        int next = l->slots[i].point >= 0 ? -1 : point_next(l);
        if (next >= 0) TRY(slot_start(l, i, next));
    }
    return OK;
}

/* mpirun forwards SIGUSR1 to its ranks, which save and exit; SIGTERM would kill them a second
 * later. A starting mpirun has no ranks to forward it to, so the request is repeated until they
 * have ended. */
static void ask_to_stop(Local *l) {
    if (clock_seconds() - l->asked < 1) return;
    for (int i = 0; i < l->launcher->parallel; i++) {
        if (l->slots[i].point >= 0) kill(l->slots[i].pid, SIGUSR1);
    }
    l->asked = clock_seconds();
}

static void stop(Local *l) {
    l->stopping = true;
    table_live_clear(&l->table);
    printf("stopping after the running points have saved\n");
    fflush(stdout);
}

/* Whether a point is running, in this process or another. */
static bool is_busy(const Local *l) {
    for (int i = 0; i < l->launcher->parallel; i++) {
        if (l->slots[i].point >= 0) return true;
    }
    return !l->stopping && study_count(l->study, POINT_RUNNING) > 0;
}

static void watch(Local *l) {
    if (clock_seconds() - l->refreshed >= 0.5) {
        for (int i = 0; i < l->study->count; i++) {
            if (l->study->points[i].status.state == POINT_RUNNING) refresh(l, i);
        }
        l->refreshed = clock_seconds();
    }
    table_live_draw(&l->table, l->study);
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
}

static Status run_points(Local *l) {
    do {
        TRY(reap(l));
        if (!l->stopping && signals_request() != STOP_NONE) stop(l);
        if (l->stopping)
            ask_to_stop(l);
        else
            TRY(fill(l));
        watch(l);
    } while (is_busy(l) || (!l->stopping && point_next(l) >= 0));
    return OK;
}

/* After an internal failure: no process is left running. */
static Status wait_for_all(Local *l, Status status) {
    StatusRecord why;
    int code;
    status_keep(status, &why);
    if (!l->stopping) stop(l);
    for (int i = 0; i < l->launcher->parallel; i++) {
        PointSlot *slot = &l->slots[i];
        if (slot->point < 0) continue;
        while (!slot_has_ended(l, slot, &code)) {
            ask_to_stop(l);
            nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
        }
        slot_end(l, slot, code);
    }
    save(l);
    return status_restore(&why);
}

Status local_run(Study *study, Launcher *launcher) {
    Local l = {.study = study, .launcher = launcher, .asked = -INFINITY};
    l.slots = calloc((size_t)launcher->parallel, sizeof *l.slots);
    l.has_lost = calloc((size_t)study->capacity, sizeof *l.has_lost);
    bool is_there = l.slots != NULL && l.has_lost != NULL;
    Status status = is_there ? OK : OUT_OF_MEMORY("a sweep");
    if (!failed(status)) {
        for (int i = 0; i < launcher->parallel; i++) l.slots[i].point = -1;
        signals_install();
        table_live_open(&l.table);
        status = run_points(&l);
        if (failed(status)) status = wait_for_all(&l, status);
        table_live_clear(&l.table);
    }
    if (!failed(status) && l.stopping) {
        status =
            ERROR(STATUS_STOPPED, "stopped with %d of %d points done; the same command resumes",
                  study_count(study, POINT_DONE), study->count);
    }
    free(l.slots);
    free(l.has_lost);
    return status;
}
