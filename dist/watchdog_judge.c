/* Finds the rank that is late and writes the error message. */
#include "dist/watchdog_table.h"
#include "dist/world.h"
#include "dist/world_state.h"

#include <stdio.h>
#include <string.h>

static const double WAITER_SECONDS = 0.5;

static void text_read(const SharedText *text, char to[TEXT_BYTES]) {
    uint64_t words[TEXT_WORDS];
    for (int i = 0; i < TEXT_WORDS; i++) words[i] = LOAD(text->words[i]);
    memcpy(to, words, TEXT_BYTES);
    to[TEXT_BYTES - 1] = '\0';
}

static bool is_live(const RankSlot *slot) { return atomic_load(&slot->state) == SLOT_LIVE; }

/* Finds a rank other than `late` that waits in a collective; NULL if there is none. */
static const RankSlot *waiter_find(const Watchdog *w, const RankSlot *late, WaitingThread *thread) {
    for (int i = 0; i < w->world->local_size; i++) {
        const RankSlot *slot = &w->table->slots[i];
        for (int t = 0; slot != late && is_live(slot) && t < WAITING_COUNT; t++) {
            *thread = (WaitingThread)t;
            if (LOAD(slot->waited[t]) > WAITER_SECONDS) return slot;
        }
    }
    return NULL;
}

static Suspicion judge_peer(Watchdog *w, int i, double elapsed) {
    const RankSlot *slot = &w->table->slots[i];
    Peer *peer = &w->peers[i];
    uint64_t beats = LOAD(slot->beats);
    peer->silent = beats != peer->beats ? 0 : peer->silent + elapsed;
    peer->beats = beats;
    bool has_ended = (w->wake[1 + i].revents & POLLIN) != 0;
    if (!is_live(slot)) return (Suspicion){.kind = NOBODY};
    if (has_ended) return (Suspicion){.kind = DIED, .slot = slot};
    if (peer->silent > w->options.stopped_after) {
        return (Suspicion){.kind = STOPPED, .slot = slot, .seconds = peer->silent};
    }
    double idle = LOAD(slot->idle);
    if (idle <= LOAD(slot->limit)) return (Suspicion){.kind = NOBODY};
    Suspicion hung = {.kind = HUNG, .slot = slot, .seconds = idle};
    hung.waiter = waiter_find(w, slot, &hung.waiting);
    /* Ranks of other hosts are not visible here; in data-parallel training they wait. */
    return hung.waiter != NULL || w->world->n_hosts > 1 ? hung : (Suspicion){.kind = NOBODY};
}

/* If all ranks are on this host and each has waited for longer than the limit of a hang, they are
 * in different collectives. */
static bool all_have_waited(const Watchdog *w) {
    for (int i = 0; i < w->world->local_size; i++) {
        const RankSlot *slot = &w->table->slots[i];
        if (is_live(slot) && LOAD(slot->waited[WAITING_MAIN]) <= LOAD(slot->limit)) return false;
    }
    return w->world->n_hosts == 1;
}

/* If all ranks are on this host and none has shown a sign of life for this long, a device or a file
 * system blocks all of them. */
static bool all_are_idle(const Watchdog *w) {
    for (int i = 0; i < w->world->local_size; i++) {
        const RankSlot *slot = &w->table->slots[i];
        double limit = LOAD(slot->limit),
               longest = limit > w->options.lost_after ? limit : w->options.lost_after;
        if (is_live(slot) && LOAD(slot->idle) <= longest) return false;
    }
    return w->world->n_hosts == 1;
}

Suspicion watchdog_judge(Watchdog *w, double elapsed) {
    Suspicion found = {.kind = NOBODY};
    if (!is_live(w->mine)) return found; /* all other ranks may have left */
    for (int i = 0; i < w->world->local_size; i++) {
        Suspicion now = judge_peer(w, i, elapsed);
        if (found.kind == NOBODY || (now.kind != NOBODY && now.kind < found.kind)) found = now;
    }
    for (int t = 0; found.kind == NOBODY && t < WAITING_COUNT; t++) {
        double waited = LOAD(w->mine->waited[t]);
        if (waited > w->options.lost_after || (t == WAITING_MAIN && all_have_waited(w))) {
            found = (Suspicion){
                .kind = LOST, .waiter = w->mine, .waiting = (WaitingThread)t, .seconds = waited};
        }
    }
    if (found.kind == NOBODY && all_are_idle(w)) {
        found = (Suspicion){.kind = HUNG, .slot = w->mine, .seconds = LOAD(w->mine->idle)};
    }
    Suspicion gone = {.kind = HOST_LOST, .slot = w->mine};
    gone.loss = host_links_judge(w->hosts, elapsed, &gone.lost_rank);
    return found.kind == NOBODY && gone.loss != HOST_PRESENT ? gone : found;
}

/* Writes "step 12, ACTIVITY" as the rank itself last reported it. */
static void describe(const RankSlot *slot, char *out, size_t bytes) {
    char text[TEXT_BYTES];
    bool waits = LOAD(slot->waiting[WAITING_MAIN].waits) != 0;
    text_read(waits ? &slot->waiting[WAITING_MAIN].label : &slot->activity, text);
    int64_t step = LOAD(slot->step);
    if (step >= 0) {
        snprintf(out, bytes, "step %lld, %s", (long long)step, text);
    } else {
        snprintf(out, bytes, "%s", text);
    }
}

/* Describes a lost host by what this rank has seen of it. */
static void host_describe(const World *world, const Suspicion *s, const char *where, char *out,
                          size_t bytes) {
    const char *host = world_host(world, s->lost_rank);
    int ranks = 0;
    for (int r = 0; r < world->size; r++) ranks += strcmp(world->hosts[r], host) == 0;
    if (s->loss == HOST_CLOSED) {
        snprintf(out, bytes, "rank %d on %s has ended without a message, while rank %d is in %s",
                 s->lost_rank, host, world->rank, where);
    } else {
        snprintf(out, bytes,
                 "host %s (rank %d and %d more) has not answered for %d s, while rank %d is in %s",
                 host, s->lost_rank, ranks - 1, HOST_SILENT_SECONDS, world->rank, where);
    }
}

size_t watchdog_say(const Watchdog *w, const Suspicion *s, char *line, size_t bytes) {
    const World *world = w->world;
    char where[TEXT_BYTES + 32] = "", label[TEXT_BYTES] = "", name[HOST_BYTES + 24], what[400];
    const RankSlot *named = s->slot != NULL ? s->slot : s->waiter;
    int rank = LOAD(named->rank);
    snprintf(name, sizeof name, "rank %d on %s", rank, world_host(world, rank));
    if (s->waiter != NULL) text_read(&s->waiter->waiting[s->waiting].label, label);
    describe(named, where, sizeof where);
    if (s->kind == HOST_LOST) {
        host_describe(world, s, where, what, sizeof what);
    } else if (s->kind == DIED) {
        snprintf(what, sizeof what, "%s died in %s", name, where);
    } else if (s->kind == STOPPED) {
        snprintf(what, sizeof what, "%s stopped responding %.1f s ago in %s", name, s->seconds,
                 where);
    } else if (s->kind == HUNG) {
        const char *meanwhile = s->waiter != NULL    ? "while others wait in "
                                : world->n_hosts > 1 ? "while others wait in another collective"
                                                     : "and no rank makes any";
        snprintf(what, sizeof what, "%s hangs: no progress for %.1f s in %s, %s%s", name,
                 s->seconds, where, meanwhile, label);
    } else {
        snprintf(what, sizeof what,
                 "%s has waited %.0f s in %s for a rank of another host or in another collective",
                 name, s->seconds, label);
    }
    int length = snprintf(line, bytes, "%s: error: %s; all ranks end (exit 1)\n",
                          world_program(world), what);
    return (size_t)length < bytes ? (size_t)length : bytes - 1;
}
