/* How code that waits for other ranks reports to the watchdog. Private to dist/. All functions
 * accept NULL. */
#pragma once

#include "dist/types.h"

#include <stdbool.h>

/* The threads of a rank that can wait for other ranks. */
typedef enum WaitingThread { WAITING_MAIN, WAITING_COMMUNICATION, WAITING_COUNT } WaitingThread;

/* The thread starts, or ends, a wait for other ranks; `label` names the collective. A second
 * watchdog_wait_begin without an end counts as progress. */
void watchdog_wait_begin(Watchdog *watchdog, WaitingThread thread, const char *label);
void watchdog_wait_end(Watchdog *watchdog, WaitingThread thread);

/* A waiting thread calls this each time it tests its condition. A thread that stops calling counts
 * as hung, even during a wait. */
void watchdog_poll(Watchdog *watchdog, WaitingThread thread);

/* Returns true to the first caller on this host, which then prints the cause of the failure.
 * Always true without a watchdog. */
bool watchdog_claim_report(Watchdog *watchdog);

/* Whether a rank of this host has claimed the report. */
bool watchdog_is_reported(const Watchdog *watchdog);
