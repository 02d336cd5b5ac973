/* The types that several headers of dist/ use. They stand here so that no header includes another
 * in a circle. */
#pragma once

typedef struct World World;
typedef struct Watchdog Watchdog;

/* The time limits of the watchdog, in seconds; watchdog.h defines each verdict. */
typedef struct WatchdogOptions {
    double stopped_after, hung_after, lost_after;
    double start_up; /* replaces hung_after until the first watchdog_allow */
} WatchdogOptions;
