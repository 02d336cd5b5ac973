/* The watchdog's table and state, shared by watchdog.c (keeps it) and watchdog_judge.c (reads
 * it). */
#pragma once

#include "dist/internal.h"

#include <poll.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>

enum {
    TEXT_WORDS = 8,
    TEXT_BYTES = 8 * TEXT_WORDS,
    TICK_MILLISECONDS = 100,
    DEATH_MILLISECONDS = 5
};

/* A short text that one thread writes and others may read at any time, torn at worst. */
typedef struct SharedText {
    _Atomic uint64_t words[TEXT_WORDS];
} SharedText;

typedef enum SlotState { SLOT_EMPTY, SLOT_LIVE, SLOT_LEFT } SlotState;

/* What a rank shows to the others of its host. Written by its main, communication and watchdog
 * threads. */
typedef struct Slot {
    alignas(128) _Atomic int state;
    _Atomic int rank, pid;
    _Atomic uint64_t beats;    /* watchdog thread */
    _Atomic uint64_t progress; /* main thread */
    _Atomic int64_t step;
    _Atomic double allowed; /* seconds, 0 for none */
    SharedText activity;
    struct {
        _Atomic int waits;
        _Atomic uint64_t turns, polls;
        SharedText label;
    } waiting[WAITING_COUNT];
    /* The watchdog thread's own reading of the above, in seconds. */
    _Atomic double idle, limit, waited[WAITING_COUNT];
} Slot;

typedef struct Table {
    alignas(128) _Atomic int reported; /* the cause has been said */
    Slot slots[];                      /* (local_size) */
} Table;

/* What an observer remembers of a peer. */
typedef struct Peer {
    uint64_t beats;
    double silent; /* seconds since the beat changed */
} Peer;

struct Watchdog {
    World *world;
    WatchdogOptions options;
    MPI_Win window;
    Table *table;
    Slot *mine;
    Peer *peers; /* (local_size) */
    /* (1 + local_size): the call to stop, and the end of each peer's process. */
    struct pollfd *wake;
    pthread_t thread;
    bool has_thread;
    /* The watchdog thread's. */
    uint64_t signs_seen, turns_seen[WAITING_COUNT];
    double longest, reported_for;
    bool was_allowed;
};

typedef enum SuspicionKind { NOBODY, DIED, STOPPED, HUNG, LOST } SuspicionKind;

typedef struct Suspicion {
    SuspicionKind kind;
    const Slot *slot, *waiter;
    WaitingThread waiting; /* the waiter's thread */
    double seconds;
} Suspicion;

#define LOAD(place) atomic_load_explicit(&(place), memory_order_relaxed)
#define STORE(place, value) atomic_store_explicit(&(place), (value), memory_order_relaxed)

/* Each of these counters has one writer, so that adding needs no locked instruction. */
#define COUNT_UP(place) STORE(place, LOAD(place) + 1)

/* Looks at all ranks of this host; `elapsed` seconds since the last look. Watchdog thread only. */
Suspicion watchdog_judge(Watchdog *watchdog, double elapsed);

/* Writes the one line that names the cause, cut to `bytes`; returns its length. */
size_t watchdog_say(const Watchdog *watchdog, const Suspicion *suspicion, char *line, size_t bytes);
