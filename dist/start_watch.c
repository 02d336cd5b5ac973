#include "dist/start_watch.h"

#include "core/base/clock.h"
#include "core/base/processes.h"
#include "core/base/thread.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TICK_MILLISECONDS = 250, UNKNOWN_RANK = -1 };

/* STOPPED_SECONDS equals the watchdog's limit. QUIET_SECONDS: a rank that does not report waits
 * this long, so that another rank can print the error and end it. */
static const double STOPPED_SECONDS = 6, QUIET_SECONDS = 2;

typedef struct Watch {
    char program[64], host[64];
    int rank;
    _Atomic(const char *) activity; /* NULL: paused */
    _Atomic double limit;
    atomic_int phase;
} Watch;

static Watch watch;

/* ---- the ranks of this host, which are this launcher's children ------------------------------ */

typedef struct Siblings {
    int stopped_rank, first_awake; /* INT_MAX: none */
    bool has_stopped;
} Siblings;

static int rank_in(const char *environment, size_t bytes) {
    static const char *const names[] = {"OMPI_COMM_WORLD_RANK=", "PMIX_RANK=", "PMI_RANK="};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        for (const char *at = environment; at < environment + bytes; at += strlen(at) + 1) {
            if (strncmp(at, names[i], strlen(names[i])) == 0) return atoi(at + strlen(names[i]));
        }
    }
    return UNKNOWN_RANK;
}

static bool process_look(void *context, const ProcessInfo *process) {
    enum { ENVIRONMENT_BYTES = 1 << 17 };
    static char environment[ENVIRONMENT_BYTES]; /* used by one thread only */
    Siblings *found = context;
    if (process->parent != getppid()) return true;
    int rank = rank_in(environment,
                       process_read(process->pid, "environ", environment, sizeof environment));
    if (rank == UNKNOWN_RANK) return true;
    if (process->state != 'T') {
        if (rank < found->first_awake) found->first_awake = rank;
    } else if (!found->has_stopped || rank < found->stopped_rank) {
        found->has_stopped = true;
        found->stopped_rank = rank;
    }
    return true;
}

static Siblings siblings_look(void) {
    Siblings found = {.first_awake = INT_MAX};
    Status ignored =
        processes_visit(process_look, &found); /* without /proc only the time limit applies */
    (void)ignored;
    return found;
}

/* ---- the thread ------------------------------------------------------------------------------ */

/* MPI_Abort must not be called during MPI_Init. The launcher notices that this rank has ended. */
static _Noreturn void end(bool speaks, const char *what) {
    char line[512];
    if (!speaks) usleep((useconds_t)(1e6 * QUIET_SECONDS));
    int n =
        snprintf(line, sizeof line, "%s: error: %s; all ranks end (exit 1)\n", watch.program, what);
    ssize_t ignored = speaks ? write(STDERR_FILENO, line, (size_t)n) : 0;
    (void)ignored;
    _exit(1);
}

static void stopped_end(const Siblings *found, double seconds, const char *activity) {
    char what[400];
    snprintf(what, sizeof what,
             "rank %d on %s stopped responding %.1f s ago, while rank %d is in %s",
             found->stopped_rank, watch.host, seconds, watch.rank, activity);
    end(found->first_awake >= watch.rank, what);
}

/* Rank 0 reports first, unless rank 0 is the missing one. */
static void limit_check(double seconds, const char *activity) {
    double limit = atomic_load(&watch.limit);
    if (limit <= 0 || seconds < limit + (watch.rank == 0 ? 0 : QUIET_SECONDS)) return;
    char what[400];
    snprintf(what, sizeof what, "rank %d on %s has waited %.0f s for other ranks in %s", watch.rank,
             watch.host, seconds, activity);
    end(true, what);
}

/* Counts only the time during which this process could run, as the watchdog does. */
static void *look_on(void *unused) {
    (void)unused;
    const double most = 2e-3 * TICK_MILLISECONDS;
    double last = clock_seconds(), in_phase = 0, stopped_for = 0, looked = 0;
    int phase = -1, stopped = UNKNOWN_RANK;
    for (;;) {
        usleep(1000 * TICK_MILLISECONDS);
        double now = clock_seconds(), elapsed = now - last < most ? now - last : most;
        last = now;
        const char *activity = atomic_load(&watch.activity);
        if (phase != atomic_load(&watch.phase)) in_phase = 0;
        phase = atomic_load(&watch.phase);
        in_phase += elapsed;
        looked += elapsed;
        if (activity == NULL) stopped_for = 0;
        if (activity == NULL || looked < 1) continue;
        Siblings found = siblings_look();
        stopped_for = found.has_stopped && found.stopped_rank == stopped ? stopped_for + looked : 0;
        stopped = found.has_stopped ? found.stopped_rank : UNKNOWN_RANK;
        looked = 0;
        if (stopped_for > STOPPED_SECONDS) stopped_end(&found, stopped_for, activity);
        limit_check(in_phase, activity);
    }
    return NULL; /* unreachable; gcc 12 needs it */
}

void start_watch_limit(double seconds) {
    atomic_store(&watch.limit, seconds);
    atomic_fetch_add(&watch.phase, 1);
}

void start_watch_phase(const char *activity, double seconds) {
    atomic_store(&watch.activity, activity);
    start_watch_limit(seconds);
}

void start_watch_pause(void) { start_watch_phase(NULL, 0); }

Status start_watch_begin(const char *program) {
    const char *rank = getenv("OMPI_COMM_WORLD_RANK");
    pthread_t thread;
    if (rank == NULL) rank = getenv("PMIX_RANK");
    if (rank == NULL) rank = getenv("PMI_RANK");
    snprintf(watch.program, sizeof watch.program, "%s", program);
    if (gethostname(watch.host, sizeof watch.host - 1) != 0)
        snprintf(watch.host, sizeof watch.host, "unknown-host");
    watch.rank = rank == NULL ? 0 : atoi(rank);
    TRY(thread_start("the start watch", look_on, NULL, &thread));
    pthread_detach(thread);
    return OK;
}
