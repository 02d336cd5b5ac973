/* Sweep points: the runs of a config's `sweep`.
 *
 * Without `tune`, every combination of the values of a map, or every map of a list, is a point;
 * in a list, `seed` may be a list of seeds. With `tune`, each of these without its seed is a
 * combination: its points are the candidates of the tuned keys with the first seed. The best of
 * them, and its other seeds, follow from their results (launch/study/tuning.h). With `branch` or
 * `budgets` each is a trunk, and its branches are added with the directory of the trunk
 * (launch/study/trunk.h). */
#pragma once

#include "core/base/names.h"
#include "launch/config/branch.h"
#include "launch/config/config.h"
#include "launch/config/tune.h"

typedef struct SweepPoint {
    const char *name; /* safe as a file name, unique in the sweep:
                         `backends-flash_batch_size-12_seed-1337` */
    const char *stem; /* the same before a number was added for uniqueness */
    int n_overrides;
    /* `key=VALUE` for config_load, to be applied before those of the command line. */
    char **overrides;
    int n_keys;                   /* of them, those of swept keys; the others follow from these */
    int combination;              /* index into the tuned combinations; -1: not tuned */
    const char *tuned[TUNE_AXES]; /* the values of the tuned keys */
} SweepPoint;

/* A swept value: `key=text`. */
typedef struct SweepSetting {
    const char *key, *text;
} SweepSetting;

typedef struct SweepCombination {
    Tune tune;
    SweepSetting *settings;
    int n_settings;
    const char **seeds; /* at least one; NULL: the config's own */
    int n_seeds;
} SweepCombination;

/* A run whose checkpoints the branches start from. */
typedef struct SweepTrunk {
    Branch branch;
    SweepSetting *settings;
    int n_settings;
    int point; /* -1: a run that is there already */
} SweepTrunk;

typedef struct SweepPoints {
    SweepPoint *points;
    int count;
    SweepCombination *combinations; /* tuned ones */
    int n_combinations;
    SweepTrunk *trunks;
    int n_trunks;
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

/* The point of a combination with these values of its tuned keys and its seed of this index, under
 * a new name. */
NODISCARD Status sweep_combine(SweepPoints *points, int combination, const char *const *tuned,
                               int seed, SweepPoint *out);

/* A branch of a trunk, under a new name: the values of its fork, and those of its keys by the index
 * `combination`, of which the last key varies fastest. `others`: n further overrides. */
NODISCARD Status sweep_branch(SweepPoints *points, int trunk, int fork, int combination,
                              char *const *others, int n, SweepPoint *out);
