/* Sweep points: the runs of a config's `sweep`. */
#pragma once

#include "core/base/names.h"
#include "launch/config/config.h"

typedef struct SweepPoint {
    const char *name; /* safe as a file name, unique in the sweep:
                         `backends-flash_batch_size-12_seed-1337` */
    const char *stem; /* the same before a number was added for uniqueness */
    int n_overrides;
    /* `key=VALUE` for config_load, to be applied before those of the command line. */
    char **overrides;
} SweepPoint;

typedef struct SweepPoints {
    SweepPoint *points;
    int count;
    Names names;
    Arena arena;
} SweepPoints;

/* Checks a sweep's keys, values and duplicates, as config_load does; OK without a sweep. Not
 * collective. */
NODISCARD Status sweep_check(const Config *config);

/* The points in order; a grid's last key varies fastest. Without a sweep: one point, the config's
 * name, no overrides. A caller that runs a point also sets name, output and `sweep=null`. Errors:
 * STATUS_CONFIG. */
NODISCARD Status sweep_expand(const Config *config, SweepPoints **out);
void sweep_points_destroy(SweepPoints **points);
