#include "dist/watchdog.h"

#include "core/base/clock.h"
#include "core/base/thread.h"
#include "dist/channel.h"
#include "dist/start_watch.h"
#include "dist/watchdog_table.h"
#include "dist/world.h"
#include "dist/world_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

static const double SLOW_FACTOR = 10, REPORTED_SECONDS = 4, QUIET_SECONDS = 2, TABLE_SECONDS = 60;

static void text_write(SharedText *text, const char *from) {
    uint64_t words[TEXT_WORDS] = {0};
    memcpy(words, from, strnlen(from, TEXT_BYTES - 1));
    for (int i = 0; i < TEXT_WORDS; i++) STORE(text->words[i], words[i]);
}

WatchdogOptions watchdog_defaults(void) {
    return (WatchdogOptions){.stopped_after = 6, .hung_after = 8, .lost_after = 60, .start_up = 60};
}

static bool is_watching(const Watchdog *watchdog) {
    return watchdog != NULL && watchdog->table != NULL;
}

void watchdog_progress(Watchdog *watchdog, const char *activity) {
    if (!is_watching(watchdog)) return;
    text_write(&watchdog->mine->activity, activity);
    COUNT_UP(watchdog->mine->progress);
}

double watchdog_allow(Watchdog *watchdog, double seconds, const char *activity) {
    if (!is_watching(watchdog)) return 0;
    double before = LOAD(watchdog->mine->allowed);
    STORE(watchdog->mine->allowed, seconds);
    watchdog_progress(watchdog, activity);
    return before;
}

void watchdog_step(Watchdog *watchdog, int64_t step) {
    if (is_watching(watchdog)) STORE(watchdog->mine->step, step);
}

void watchdog_wait_begin(Watchdog *watchdog, WaitingThread thread, const char *label) {
    if (!is_watching(watchdog)) return;
    text_write(&watchdog->mine->waiting[thread].label, label);
    STORE(watchdog->mine->waiting[thread].waits, 1);
    COUNT_UP(watchdog->mine->waiting[thread].turns);
}

void watchdog_wait_end(Watchdog *watchdog, WaitingThread thread) {
    if (!is_watching(watchdog)) return;
    STORE(watchdog->mine->waiting[thread].waits, 0);
    COUNT_UP(watchdog->mine->waiting[thread].turns);
}

void watchdog_poll(Watchdog *watchdog, WaitingThread thread) {
    if (is_watching(watchdog)) COUNT_UP(watchdog->mine->waiting[thread].polls);
}

bool watchdog_claim_report(Watchdog *watchdog) {
    return !is_watching(watchdog) || atomic_exchange(&watchdog->table->reported, 1) == 0;
}

bool watchdog_is_reported(const Watchdog *watchdog) {
    return is_watching(watchdog) && atomic_load(&watchdog->table->reported) != 0;
}

/* ---- the watchdog thread: reading this rank -------------------------------------------------- */

static double wait_measure(Watchdog *w, WaitingThread thread, double elapsed) {
    RankSlot *mine = w->mine;
    uint64_t turns = LOAD(mine->waiting[thread].turns);
    bool goes_on = LOAD(mine->waiting[thread].waits) && turns == w->turns_seen[thread];
    w->turns_seen[thread] = turns;
    double waited = goes_on ? LOAD(mine->waited[thread]) + elapsed : 0;
    STORE(mine->waited[thread], waited);
    return waited;
}

/* Counts signs of life: the progress of the main thread and, while it waits, its polls or those of
 * the communication thread on its behalf. This distinguishes a main thread that is frozen during a
 * wait from one that is waiting. */
static uint64_t signs_of_life(const RankSlot *slot) {
    uint64_t signs = LOAD(slot->progress) + LOAD(slot->waiting[WAITING_MAIN].turns) +
                     LOAD(slot->waiting[WAITING_MAIN].polls);
    return LOAD(slot->waiting[WAITING_MAIN].waits)
               ? signs + LOAD(slot->waiting[WAITING_COMMUNICATION].polls)
               : signs;
}

/* Measures the time without a sign of life. Intervals that watchdog_allow granted do not count
 * towards the rank's own pace. */
static void idle_measure(Watchdog *w, double elapsed) {
    RankSlot *mine = w->mine;
    uint64_t signs = signs_of_life(mine);
    double idle = LOAD(mine->idle), allowed = LOAD(mine->allowed);
    if (signs != w->signs_seen) {
        if (!w->was_allowed && idle > w->longest) w->longest = idle;
        idle = 0;
    } else {
        idle += elapsed;
    }
    w->signs_seen = signs;
    w->was_allowed = allowed > 0;
    double limit = SLOW_FACTOR * w->longest;
    if (limit < w->options.hung_after) limit = w->options.hung_after;
    STORE(mine->idle, idle);
    STORE(mine->limit, allowed > limit ? allowed : limit);
}

static void beat(Watchdog *w, double elapsed) {
    for (int i = 0; i < WAITING_COUNT; i++) (void)wait_measure(w, (WaitingThread)i, elapsed);
    idle_measure(w, elapsed);
    COUNT_UP(w->mine->beats);
}

static void report(const Watchdog *w, const Suspicion *suspicion) {
    char line[512];
    /* One write, so that lines of several ranks do not mix. A failure here cannot be handled. */
    ssize_t ignored = write(STDERR_FILENO, line, watchdog_say(w, suspicion, line, sizeof line));
    (void)ignored;
}

/* Another rank has reported the cause and is ending all ranks. If the launcher does not end this
 * rank, it exits without a message. */
static void follow_report(Watchdog *w, double elapsed) {
    w->reported_for += elapsed;
    if (w->reported_for > REPORTED_SECONDS) world_kill(w->world, 1);
}

static void *watch(void *argument) {
    Watchdog *w = argument;
    const double most = 2e-3 * TICK_MILLISECONDS;
    double last = clock_seconds();
    for (;;) {
        int n = 1 + w->world->local_size;
        int ready = poll(w->wake, (nfds_t)n, TICK_MILLISECONDS);
        if (ready > 0 && w->wake[0].revents != 0) return NULL;
        double now = clock_seconds(), elapsed = now - last < most ? now - last : most;
        last = now;
        beat(w, elapsed);
        if (atomic_load(&w->table->reported)) {
            follow_report(w, elapsed);
            poll(NULL, 0, ready > 0 ? TICK_MILLISECONDS : 0);
            continue;
        }
        Suspicion suspicion = watchdog_judge(w, elapsed);
        for (int i = 1; i < n; i++) {
            if (w->wake[i].revents != 0)
                w->wake[i].fd = -1; /* the process has ended; report it once */
        }
        if (suspicion.kind == NOBODY) continue;
        /* If something else is ending all ranks, this delay lets it end this rank before this rank
         * blames another. */
        if (suspicion.kind == DIED) poll(NULL, 0, DEATH_MILLISECONDS);
        if (!watchdog_claim_report(w)) continue;
        report(w, &suspicion);
        world_kill(w->world, 1);
    }
}

/* ---- begin and end --------------------------------------------------------------------------- */

static Status table_create(Watchdog *w) {
    const World *world = w->world;
    start_watch_phase("the start of the shared table", TABLE_SECONDS);
    /* Each mapping starts at a page boundary, so rounding up gives the same offset on every
     * rank. */
    size_t bytes = sizeof(WatchdogTable) + (size_t)world->local_size * sizeof(RankSlot),
           align = alignof(WatchdogTable);
    MPI_Aint mine = world->local_rank == 0 ? (MPI_Aint)(bytes + align) : 0, size = 0;
    void *base = NULL;
    int unit = 0;
    TRY(mpi_check(MPI_Win_allocate_shared(mine, 1, MPI_INFO_NULL, world->local, &base, &w->window),
                  "MPI_Win_allocate_shared"));
    TRY(mpi_check(MPI_Win_shared_query(w->window, 0, &size, &unit, &base), "MPI_Win_shared_query"));
    start_watch_phase("start-up", 0);
    w->table = (WatchdogTable *)(((uintptr_t)base + align - 1) / align * align);
    if (world->local_rank == 0) memset(w->table, 0, bytes);
    return OK;
}

/* If memory is lacking, MPI fails on the rank that allocates; those of its host stay inside the
 * call, and cannot agree. Rank 0 reports first. */
static _Noreturn void table_abort(World *world, Status cause) {
    if (world->rank > 0) usleep((useconds_t)(1e6 * QUIET_SECONDS));
    world_abort(world,
                ERROR(cause.code, "%s; see that /dev/shm has room (in a container: --shm-size)",
                      status_message()));
}

static Status memory_create(Watchdog *w) {
    size_t n = (size_t)w->world->local_size;
    w->peers = calloc(n, sizeof *w->peers);
    w->wake = calloc(n + 1, sizeof *w->wake);
    if (w->peers == NULL || w->wake == NULL) return OUT_OF_MEMORY("the watchdog");
    for (size_t i = 0; i <= n; i++) w->wake[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    w->wake[0].fd = eventfd(0, EFD_CLOEXEC);
    return w->wake[0].fd >= 0 ? OK : ERROR(STATUS_FAILURE, "eventfd: %s", strerror(errno));
}

static void slot_fill(Watchdog *w) {
    w->mine = &w->table->slots[w->world->local_rank];
    STORE(w->mine->rank, w->world->rank);
    STORE(w->mine->pid, (int)getpid());
    STORE(w->mine->step, -1);
    STORE(w->mine->limit, w->options.start_up);
    (void)watchdog_allow(w, w->options.start_up, "start-up");
    atomic_store(&w->mine->state, SLOT_LIVE);
}

/* Without pidfd_open (an old kernel, a sandbox), the launcher and missing heartbeats still detect
 * that a process has ended. */
static void peers_open(Watchdog *w) {
    for (int i = 0; i < w->world->local_size; i++) {
        if (i != w->world->local_rank)
            w->wake[1 + i].fd = (int)syscall(SYS_pidfd_open, w->table->slots[i].pid, 0);
    }
}

static Status thread_begin(Watchdog *w) {
    peers_open(w);
    TRY(thread_start("the watchdog thread", watch, w, &w->thread));
    w->has_thread = true;
    return OK;
}

static void thread_end(Watchdog *w) {
    uint64_t one = 1;
    ssize_t ignored = write(w->wake[0].fd, &one, sizeof one);
    (void)ignored;
    pthread_join(w->thread, NULL);
}

/* Each further stage succeeds on all ranks or fails on all, so that no rank waits for one that has
 * failed. */
static Status begin(Watchdog *w) {
    Status status = table_create(w);
    if (failed(status)) table_abort(w->world, status);
    TRY(world_agree(w->world, memory_create(w)));
    slot_fill(w);
    TRY(world_barrier(w->world));
    TRY(host_links_create(w->world, &w->hosts));
    return world_agree(w->world, thread_begin(w));
}

Status watchdog_create(World *world, const WatchdogOptions *options, Watchdog **out) {
    Watchdog *w = calloc(1, sizeof *w);
    Status status = world_agree(world, w != NULL ? OK : OUT_OF_MEMORY("the watchdog"));
    *out = NULL;
    if (failed(status)) {
        free(w);
        return status;
    }
    *w = (Watchdog){.world = world, .options = *options, .window = MPI_WIN_NULL};
    if (world->size > 1) status = begin(w);
    if (failed(status)) {
        watchdog_destroy(&w);
        return status;
    }
    if (world->size > 1) {
        world->watchdog = w;
        start_watch_pause();
    }
    *out = w;
    return OK;
}

void watchdog_destroy(Watchdog **watchdog) {
    Watchdog *w = *watchdog;
    if (w == NULL) return;
    if (w->world->watchdog == w) {
        /* No rank leaves until all are here, and the watchdog watches until then. Afterwards a
         * missing rank does not count as dead. */
        Status ignored = world_barrier(w->world);
        (void)ignored;
        atomic_store(&w->mine->state, SLOT_LEFT);
        w->world->watchdog = NULL;
    }
    if (w->has_thread) thread_end(w);
    host_links_destroy(&w->hosts);
    if (w->window != MPI_WIN_NULL) MPI_Win_free(&w->window);
    for (int i = 0; w->wake != NULL && i <= w->world->local_size; i++) {
        if (w->wake[i].fd >= 0) close(w->wake[i].fd);
    }
    free(w->wake);
    free(w->peers);
    free(w);
    *watchdog = NULL;
}
