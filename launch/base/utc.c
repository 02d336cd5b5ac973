#include "launch/base/utc.h"

#include <time.h>

void utc_now(char out[UTC_BYTES]) {
    time_t now = time(NULL);
    struct tm utc;
    strftime(out, UTC_BYTES, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
}
