/* Launcher: how a point is started on this machine: ./train itself for one rank, mpirun for more;
 * each of several points at a time on its own share of the GPUs or cores. */
#pragma once

#include "launch/study/study.h"

#include <stdio.h>
#include <sys/types.h>

typedef struct Launcher {
    char *train; /* its path */
    int64_t ranks, parallel;
    int gpus; /* to share out; 0: the points see what there is */
    Arena arena;
} Launcher;

/* `ranks` and `parallel`: 0 for what the study's config says. Errors: STATUS_CONFIG without mpirun
 * where there are several ranks, or where the GPUs are too few for so many points at a time. Free
 * its arena. */
NODISCARD Status launcher_open(const Study *study, int64_t ranks, int64_t parallel, Launcher *out);

/* The arguments that start a point, in the arena; NULL where memory is out. */
char **launcher_arguments(Launcher *launcher, const StudyPoint *point);

/* The command as a shell would take it. */
NODISCARD Status launcher_print(Launcher *launcher, const StudyPoint *point, FILE *file);

/* Starts a point as the slot-th of those that run at a time. */
NODISCARD Status launcher_start(Launcher *launcher, const StudyPoint *point, int slot, pid_t *out);

/* CUDA_VISIBLE_DEVICES=... with the slot-th of `parallel` equal parts of `gpus` GPUs, counted among
 * those that `visible` names; NULL: all. In the arena. */
char *launcher_gpus(Arena *arena, const char *visible, int gpus, int64_t parallel, int slot);

/* The folder of this program, where the others are too: "." where that is the current one. In the
 * arena. */
const char *launcher_programs(Arena *arena);
