/* Clocks. Training seconds and deadlines use the monotonic clock, so changes of the system time do
 * not affect them. */
#pragma once

#include <time.h>

/* Seconds on CLOCK_MONOTONIC since an arbitrary point. */
static inline double clock_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
