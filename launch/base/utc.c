#include "launch/base/utc.h"

#include <time.h>

double utc_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void utc_now(char out[UTC_BYTES]) {
    time_t now = time(NULL);
    struct tm utc;
    strftime(out, UTC_BYTES, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
}
