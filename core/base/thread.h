/* Threads beside the main one. */
#pragma once

#include "core/status.h"

#include <pthread.h>

/* Starts work(argument) on a thread that takes no signals, so that they all reach the main thread.
 * `name` is what messages call it: "the watchdog thread". Errors: STATUS_FAILURE. */
NODISCARD Status thread_start(const char *name, void *(*work)(void *), void *argument,
                              pthread_t *out);
