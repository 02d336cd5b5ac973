#include "launch/base/readable.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>

double readable_real(double value) { return isnan(value) ? (double)NAN : value; }

void readable_count(double count, char *text, size_t bytes) {
    static const char *const units[] = {"", " K", " M", " G"};
    size_t unit = 0;
    for (; count >= 1000 && unit < 3; unit++) count /= 1000;
    snprintf(text, bytes,
             count < 10    ? "%.2f%s"
             : count < 100 ? "%.1f%s"
                           : "%.0f%s",
             count, units[unit]);
}

void readable_seconds(double seconds, char *text, size_t bytes) {
    int64_t s = (int64_t)(seconds + 0.5);
    if (s >= 3600)
        snprintf(text, bytes, "%lld h %02lld m", (long long)s / 3600, (long long)s / 60 % 60);
    else if (s >= 60)
        snprintf(text, bytes, "%lld m %02lld s", (long long)s / 60, (long long)s % 60);
    else
        snprintf(text, bytes, "%lld s", (long long)s);
}

void readable_memory(double memory, char *text, size_t bytes) {
    if (memory < 0x1p30)
        snprintf(text, bytes, "%.0f MiB", memory / 0x1p20);
    else
        snprintf(text, bytes, "%.1f GiB", memory / 0x1p30);
}
