/* The watchdog's shared table and its state. watchdog.c writes the table; watchdog_judge.c reads
 * it. */
#pragma once

#include "dist/host_links.h"
#include "dist/watchdog_wait.h"

#include <mpi.h>
#include <poll.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TEXT_WORDS = 8,
    TEXT_BYTES = 8 * TEXT_WORDS,
    TICK_MILLISECONDS = 100,
    DEATH_MILLISECONDS = 5
};

/* A short text with one writer. Others may read it at any time; at worst they read a mixture of old
 * and new. */
typedef struct SharedText {
    _Atomic uint64_t words[TEXT_WORDS];
} SharedText;

typedef enum SlotState { SLOT_EMPTY, SLOT_LIVE, SLOT_LEFT } SlotState;

/* The state that a rank shows to the other ranks of its host. Written by its main, communication
 * and watchdog threads. */
typedef struct RankSlot {
    alignas(128) _Atomic int state;
    _Atomic int rank, pid;
    _Atomic uint64_t beats;    /* watchdog thread */
    _Atomic uint64_t progress; /* main thread */
    _Atomic int64_t step;
    _Atomic double allowed; /* seconds, 0: none granted */
    SharedText activity;
    struct {
        _Atomic int waits;
        _Atomic uint64_t turns, polls;
        SharedText label;
    } waiting[WAITING_COUNT];
    /* Derived from the fields above by the watchdog thread, in seconds. */
    _Atomic double idle, limit, waited[WAITING_COUNT];
} RankSlot;

typedef struct WatchdogTable {
    alignas(128) _Atomic int reported; /* a rank has reported the cause */
    RankSlot slots[];                  /* (local_size) */
} WatchdogTable;

/* An observer's record of a peer. */
typedef struct Peer {
    uint64_t beats;
    double silent; /* seconds since the last heartbeat */
} Peer;

struct Watchdog {
    World *world;
    WatchdogOptions options;
    MPI_Win window;
    WatchdogTable *table;
    RankSlot *mine;
    Peer *peers;      /* (local_size) */
    HostLinks *hosts; /* NULL: all ranks share a host */
    /* (1 + local_size): the request to stop, then the end of each peer's process. */
    struct pollfd *wake;
    pthread_t thread;
    bool has_thread;
    /* Used by the watchdog thread only. */
    uint64_t signs_seen, turns_seen[WAITING_COUNT];
    double longest, reported_for;
    bool was_allowed;
};

typedef enum SuspicionKind { NOBODY, DIED, STOPPED, HUNG, LOST, HOST_LOST } SuspicionKind;

typedef struct Suspicion {
    SuspicionKind kind;
    const RankSlot *slot, *waiter;
    WaitingThread waiting; /* the waiter's thread */
    double seconds;
    HostLoss loss; /* of a lost host, and its first rank */
    int lost_rank;
} Suspicion;

#define LOAD(place) atomic_load_explicit(&(place), memory_order_relaxed)
#define STORE(place, value) atomic_store_explicit(&(place), (value), memory_order_relaxed)

/* Each of these counters has one writer, so adding needs no locked instruction. */
#define COUNT_UP(place) STORE(place, LOAD(place) + 1)

/* Examines all ranks of this host; `elapsed` seconds since the last call. Watchdog thread only. */
Suspicion watchdog_judge(Watchdog *watchdog, double elapsed);

/* Writes the error message that names the cause, cut to `bytes`; returns its length. */
size_t watchdog_say(const Watchdog *watchdog, const Suspicion *suspicion, char *line, size_t bytes);
