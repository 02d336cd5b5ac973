/* Watchdog: no run hangs. The launcher notices a rank that dies; the watchdog notices one that is
 * stopped, hung or lost. It prints one line with the rank and its activity, and ends all ranks:
 *
 *   train: error: rank 2 on host7 stopped responding 6.1 s ago in step 12, all_reduce of bucket 3;
 *   all ranks end (exit 1)
 *
 * The watchdog thread of each rank writes a heartbeat ten times a second to a table in shared
 * memory, and reads those of the other ranks of its host. It counts only the time during which it
 * could run itself, so a suspended machine or job does not raise an alarm.
 *
 *   died     the process has ended without watchdog_destroy
 *   stopped  no heartbeat for stopped_after seconds (SIGSTOP, swapping, a dead core)
 *   hung     no progress for max(hung_after, 10 x the rank's longest interval so far), or for the
 *            time that watchdog_allow granted, while another rank waits in a collective. If all
 *            ranks are on one host and none waits: no progress of any rank for lost_after seconds,
 *            because a device blocks all of them
 *   lost     this rank has waited for lost_after seconds in one collective and no rank of its host
 *            is late. The late rank is on another host, whose watchdog names it earlier. If all
 *            ranks are on one host and all wait, they are in different collectives, and the limit
 *            is that of a hang
 *   host     another host is down or cut off, as TCP tells the first ranks of the hosts after 7 s;
 *            or the first rank there has ended, and nobody has reported it for 3 s: host_links.h
 *
 * A rank that waits in a collective is not late as long as it keeps polling. With one rank the
 * watchdog does nothing. */
#pragma once

#include "core/status.h"
#include "dist/types.h"

#include <stdint.h>

/* stopped_after 6 s, hung_after 8 s, lost_after 60 s, start_up 60 s. */
WatchdogOptions watchdog_defaults(void);

/* Starts watching. Call it right after world_create, so that it covers start-up. Collective.
 * Errors: STATUS_FAILURE (threads). Ends all ranks if there is no shared memory for its table. */
NODISCARD Status watchdog_create(World *world, const WatchdogOptions *options, Watchdog **out);

/* Stops watching. Call it before world_destroy. Collective. */
void watchdog_destroy(Watchdog **watchdog);

/* Reports progress and the current activity of this rank. Copies the first 63 bytes of the text;
 * costs about ten nanoseconds. Main thread, not collective. NULL-safe, as are the next two. */
void watchdog_progress(Watchdog *watchdog, const char *activity);

/* Reports progress, and from now on allows `seconds` without progress between reports; 0 restores
 * the limit of the options. Returns the previous value, so that calls can nest. */
double watchdog_allow(Watchdog *watchdog, double seconds, const char *activity);

/* Sets the step that messages name. */
void watchdog_step(Watchdog *watchdog, int64_t step);
