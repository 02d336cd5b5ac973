#include "core/perf/timing.h"

#include "core/base/clock.h"

#include <stdbool.h>
#include <stdlib.h>

static const double LEAST_S = 2e-3; /* between two readings of the clock */
enum { MOST_REPLAYS = 1000 };

static Status replays_time(Device *device, const Program *p, int replays, double *seconds) {
    double start = clock_seconds();
    for (int i = 0; i < replays; i++) TRY(device_replay(device, p));
    TRY(device_synchronize(device));
    *seconds = (clock_seconds() - start) / replays;
    return OK;
}

/* Takes the requested number of readings, one replay each. */
static Status times_take_all(Device *device, const Program *p, int64_t repeats, double *times,
                             int64_t *count) {
    double warm;
    for (int i = 0; i < 2; i++) TRY(replays_time(device, p, 1, &warm));
    while (*count < repeats) TRY(replays_time(device, p, 1, &times[(*count)++]));
    return OK;
}

/* Takes up to the requested number of readings within limit_s, each of enough replays. */
static Status times_take(Device *device, const Program *p, int64_t repeats, double limit_s,
                         double *times, int64_t *count) {
    double start = clock_seconds(), once = 0;
    for (int warm = 0; warm < 2; warm++) TRY(replays_time(device, p, 1, &once));
    int replays = once * MOST_REPLAYS < LEAST_S ? MOST_REPLAYS : 1 + (int)(LEAST_S / once);
    if (replays == 1) times[(*count)++] = once;
    while (*count < repeats && (*count == 0 || clock_seconds() - start < limit_s)) {
        TRY(replays_time(device, p, replays, &times[(*count)++]));
    }
    return OK;
}

typedef struct Readings {
    int64_t repeats;
    double limit_s;
    bool together;
} Readings;

static Status spread_take(Device *device, const Program *p, Readings r, Spread *seconds) {
    double *times = malloc((size_t)r.repeats * sizeof *times);
    int64_t count = 0;
    if (times == NULL) return OUT_OF_MEMORY("timings");
    Status status = r.together ? times_take_all(device, p, r.repeats, times, &count)
                               : times_take(device, p, r.repeats, r.limit_s, times, &count);
    if (!failed(status)) *seconds = values_spread(times, (size_t)count);
    free(times);
    return status;
}

Status program_time(Device *device, const Program *p, int64_t repeats, double limit_s,
                    Spread *seconds) {
    return spread_take(device, p, (Readings){.repeats = repeats, .limit_s = limit_s}, seconds);
}

Status program_time_together(Device *device, const Program *p, int64_t repeats, Spread *seconds) {
    return spread_take(device, p, (Readings){.repeats = repeats, .together = true}, seconds);
}
