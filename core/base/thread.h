/* Threads other than the main thread. */
#pragma once

#include "core/status.h"

#include <pthread.h>

/* Starts work(argument) on a thread that blocks all signals, so that the main thread receives them.
 * `name` is used in messages: "the watchdog thread". Errors: STATUS_FAILURE. */
NODISCARD Status thread_start(const char *name, void *(*work)(void *), void *argument,
                              pthread_t *out);
