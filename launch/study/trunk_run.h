/* A run that is there already as the trunk of a study: its checkpoints as forks. */
#pragma once

#include "launch/config/branch.h"

typedef struct Fork {
    const BranchFork *config;
    const char *checkpoint; /* from which its branches start */
    ConfigStop cut, end;    /* its position; of its branches */
    int first;              /* of its branches among the points of the study */
} Fork;

/* A checkpoint may be this far from the share of a fork. */
#define NEAREST 0.05

/* Sets the checkpoints and positions of the forks: the checkpoints of branch->run that are nearest
 * to the shares. Errors: STATUS_CONFIG, at the position of the block, if the directory has no run,
 * or no checkpoint within NEAREST of a share. */
NODISCARD Status trunk_run_forks(Arena *arena, const Branch *branch, Fork *forks);

/* The config of the run. The caller destroys it. */
NODISCARD Status trunk_run_config(const Branch *branch, Config **out);
