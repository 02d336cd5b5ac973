/* Watchdog: no run hangs. The launcher notices a rank that dies; this notices one that is stopped,
 * hung or lost, says in one line which rank it was and what it was doing, and takes all ranks down:
 *
 *   train: error: rank 2 on host7 stopped responding 6.1 s ago in step 12, all_reduce of bucket 3;
 *   all ranks end (exit
 * 1)
 *
 * Each rank has a watchdog thread that beats ten times a second in a table which the ranks of a
 * host share, and looks at the others there. Time is counted in the observer's own waking hours, so
 * that a suspended machine or job is not felt.
 *
 *   died     the process is gone without watchdog_destroy
 *   stopped  no beat for stopped_after seconds (SIGSTOP, swapped out, a dead core)
 *   hung     no progress for max(hung_after, 10 x its own longest interval so far), or for what
 *            watchdog_allow granted, while another rank waits in a collective; or, where nobody
 *            waits, no progress of any rank of the one host for lost_after seconds: a device holds
 *            all of them up
 *   lost     this rank has waited lost_after seconds in one collective, and no rank of its host is
 *            to blame: the late one is on another host. There its name is said earlier. Where all
 *            ranks are on one host and all of them wait, they are in different collectives, and the
 *            time of a hang is enough.
 *
 * A rank that waits in a collective is not late, whatever it waits for, as long as it looks whether
 * the wait is over. With one rank nothing is watched. */
#pragma once

#include "core/status.h"
#include "dist/world.h"

#include <stdint.h>

typedef struct Watchdog Watchdog;

/* Seconds. */
typedef struct WatchdogOptions {
    double stopped_after, hung_after, lost_after;
    double start_up; /* what watchdog_create allows until the first watchdog_allow */
} WatchdogOptions;

/* 6 s, 8 s, 60 s, and 60 s for the start. */
WatchdogOptions watchdog_defaults(void);

/* Starts watching, from right after world_create on, so that the start is watched too. Collective.
 * Errors: STATUS_FAILURE (shared memory, threads). */
NODISCARD Status watchdog_create(World *world, const WatchdogOptions *options, Watchdog **out);

/* Ends it, before world_destroy. Collective. */
void watchdog_destroy(Watchdog **watchdog);

/* Says what this rank does now and that it gets on. Costs about ten nanoseconds: the first 63 bytes
 * of the text are copied. Main thread, not collective. NULL-safe, as are the next two. */
void watchdog_progress(Watchdog *watchdog, const char *activity);

/* The same, and from now on `seconds` without progress are no hang, however often there is progress
 * meanwhile; 0: no more than the options say. Returns what was granted before, for whoever does
 * this inside of something else. */
double watchdog_allow(Watchdog *watchdog, double seconds, const char *activity);

/* The step that messages name. */
void watchdog_step(Watchdog *watchdog, int64_t step);
