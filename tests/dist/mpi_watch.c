/* mpi_watch MODE: a small training loop in which one rank (the last but one) misbehaves; run by
 * test_watchdog.py and test_start.py.
 *   run     loops until a signal ends it; `end` leaves after 20 steps
 *   hang    sleeps instead of joining a collective; `hang-main` the same for one of the main thread
 *   freeze  its main thread freezes while it waits for a collective; `freeze-main` for one of the
 *           main thread
 *   slow    takes 4.5 s for one collective, but makes progress
 *   pace    has one interval longer than hung_after, within its own pace
 *   allow   takes longer than hung_after after watchdog_allow
 *   exit    exits without a message
 *   lost    joins a different collective
 *   sleep   all ranks hang, outside any collective
 *   early   hangs before the watchdog exists, and time passes 40 times as fast
 *   full    rank 0 has no memory for the watchdog's table */
#include "dist/mpi_collectives.h"

#include <mpi.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { N = 50000 };

static float data[N];

static void nap(double seconds) { usleep((useconds_t)(1e6 * seconds)); }

static void stay(int signal) {
    (void)signal;
    for (;;) pause();
}

static void *freeze_soon(void *main_thread) {
    nap(0.5);
    pthread_kill(*(pthread_t *)main_thread, SIGUSR1);
    return NULL;
}

/* The rank after the late one joins the next collective a second later, so that the late one
 * freezes during its wait. */
static void freeze(const Collectives *c, int late) {
    static pthread_t main_thread;
    pthread_t thread;
    if (c->rank == late + 1) nap(1);
    if (c->rank != late) return;
    main_thread = pthread_self();
    signal(SIGUSR1, stay);
    pthread_create(&thread, NULL, freeze_soon, &main_thread);
}

static Status reduce_all(const Collectives *c) {
    for (int i = 0; i < N; i++) data[i] = 1;
    TRY(c->all_reduce_start(c->self, data, N, DTYPE_F32, "all_reduce of bucket 3", NULL));
    c->progress(c->self, "layernorm_backward");
    TRY(c->wait(c->self, 0, NULL));
    c->progress(c->self, "adamw");
    return OK;
}

static Status misbehave(World *world, Watchdog *watchdog, const Collectives *c, const char *mode) {
    if (strcmp(mode, "hang") == 0 || strcmp(mode, "hang-main") == 0) nap(1000);
    if (strcmp(mode, "exit") == 0) _exit(3);
    if (strcmp(mode, "lost") == 0) return world_barrier(world);
    if (strcmp(mode, "allow") == 0) {
        double before = watchdog_allow(watchdog, 10, "saving a checkpoint");
        c->progress(c->self, "gather"); /* progress does not end the wait */
        nap(3);
        (void)watchdog_allow(watchdog, before, "training");
    }
    for (int i = 0; strcmp(mode, "slow") == 0 && i < 15; i++) {
        c->progress(c->self, "matmul");
        nap(0.3);
    }
    if (strcmp(mode, "pace") == 0) nap(2.5);
    return OK;
}

static Status train(World *world, Watchdog *watchdog, const Collectives *c, const char *mode) {
    bool goes_on = strcmp(mode, "run") == 0;
    int late = c->size - 2;
    for (int step = 0; goes_on || step < 20; step++) {
        watchdog_step(watchdog, step);
        c->progress(c->self, "layernorm_forward");
        nap(strcmp(mode, "pace") == 0 && step < 3 ? 0.6 : 0.02);
        if (step == 12 && strcmp(mode, "sleep") == 0) nap(1000);
        if (step == 12 && c->rank == late) TRY(misbehave(world, watchdog, c, mode));
        if (step == 12 && strcmp(mode, "freeze") == 0) freeze(c, late);
        TRY(reduce_all(c));
        if (step == 0) (void)watchdog_allow(watchdog, 0, "training");
        if (step == 12 && strcmp(mode, "freeze-main") == 0) freeze(c, late);
        if (step == 12 && strstr(mode, "-main") != NULL) TRY(world_barrier(world));
    }
    return OK;
}

/* The time passes faster by this factor, for the clock and the start watch. */
static int64_t haste = 1;

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (clock != CLOCK_MONOTONIC) return result;
    int64_t billion = 1000000000, rest = now->tv_nsec * haste;
    *now = (struct timespec){now->tv_sec * haste + rest / billion, rest % billion};
    return result;
}

int usleep(useconds_t microseconds) {
    int64_t time = microseconds / haste;
    return nanosleep(&(struct timespec){time / 1000000, 1000 * (time % 1000000)}, NULL);
}

static bool is_full;

/* As Open MPI does with a full /dev/shm: rank 0 fails, and the others stay inside the call. */
int MPI_Win_allocate_shared(MPI_Aint size, int unit, MPI_Info info, MPI_Comm comm, void *base,
                            MPI_Win *window) {
    int rank;
    MPI_Comm_rank(comm, &rank);
    if (is_full && rank == 0) return MPI_ERR_NO_MEM;
    return PMPI_Win_allocate_shared(size, unit, info, comm, base, window);
}

int main(int argc, char **argv) {
    World *world = NULL;
    Watchdog *watchdog = NULL;
    MpiCollectives *collectives = NULL;
    const char *mode = argc > 1 ? argv[1] : "";
    WatchdogOptions options = watchdog_defaults();
    if (argc > 2) options = (WatchdogOptions){atof(argv[2]), atof(argv[2]), 4 * atof(argv[2]), 10};
    if (strcmp(mode, "early") == 0) haste = 40;
    Status status = world_create(&argc, &argv, &world);
    if (failed(status)) return status_report(argv[0], status);
    printf("rank %d pid %d\n", world_rank(world), (int)getpid());
    fflush(stdout);
    is_full = strcmp(mode, "full") == 0;
    if (strcmp(mode, "early") == 0 && world_rank(world) == world_size(world) - 2) pause();
    status = watchdog_create(world, &options, &watchdog);
    if (!failed(status)) status = mpi_collectives_create(world, watchdog, &collectives);
    status = world_agree(world, status);
    if (!failed(status)) {
        Collectives table = mpi_collectives_table(collectives);
        status = train(world, watchdog, &table, mode);
    }
    if (failed(status)) world_abort(world, status);
    mpi_collectives_destroy(&collectives);
    watchdog_destroy(&watchdog);
    world_destroy(&world);
    return 0;
}
