/* Branch: the blocks `branch` and `budgets` of a sweep. Their points continue from checkpoints of
 * one run, the trunk, at positions called forks.
 *
 *     branch: {run: runs/trunk, at: [10%, 30%, 60%], tokens: 2M, tolerance: 0.01,
 *              data.batch_size: [8, 16, 32]}
 *     budgets: [2m, 4m, 8m]
 *
 * Errors: STATUS_CONFIG with the position in the config. */
#pragma once

#include "launch/config/config.h"
#include "launch/config/node.h"

enum { BRANCH_FORKS = 32, BRANCH_AXES = 4 };

typedef struct BranchAxis {
    const char *key;
    const char **texts; /* canonical */
    int count;
} BranchAxis;

/* Positions have one rule each, in the same unit. */
typedef struct BranchFork {
    const char *text;    /* "10%"; of a budget, its value: "2m" */
    double share;        /* of the run; 0 for budgets */
    ConfigStop cut, end; /* of the trunk; of its branches */
} BranchFork;

typedef struct Branch {
    const char *run;      /* the directory of the trunk; NULL: the study trains it */
    const char *unit_key; /* of budgets: training.stop.steps, .tokens or .time; else NULL */
    BranchFork forks[BRANCH_FORKS];
    int n_forks;
    int64_t tokens;   /* that each branch trains */
    double tolerance; /* nats: differences of the loss up to it do not count */
    BranchAxis axes[BRANCH_AXES];
    int n_axes, count; /* branches of each fork */
    Place place;
} Branch;

/* Whether a map of a sweep has a branch or budgets. */
bool branch_is_in(const YamlNode *map);

/* Reads the block of such a map, checks it against the rest of the map and against the config, and
 * computes the forks. If `run` is set, the cuts follow from that run instead
 * (launch/study/trunk.h). */
NODISCARD Status branch_read(Arena *arena, const YamlNode *map, const Config *config, Branch *out);

/* Adds `training.stop.RULE=null` for the two rules that are not the unit of the budgets. Errors:
 * STATUS_OUT_OF_MEMORY. */
NODISCARD Status branch_stops_clear(Arena *arena, const Branch *branch, char **out, int *n);

/* `training.stop.UNIT=VALUE` for the rule of a position. NULL if memory is out. */
char *branch_stop_text(Arena *arena, const ConfigStop *stop);
