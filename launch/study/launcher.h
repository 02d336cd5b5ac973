/* Launcher: starts points on this machine: ./train directly for one rank, mpirun for more. Points
 * that run at the same time get separate shares of the GPUs or cores. */
#pragma once

#include "launch/study/study.h"

#include <stdio.h>
#include <sys/types.h>

typedef struct Launcher {
    char *train; /* path of ./train */
    int64_t ranks, parallel;
    int gpus; /* GPUs to divide; 0: points see all GPUs */
    Arena arena;
} Launcher;

/* STATUS_CONFIG if this host would start more than 64 ranks per core. mpirun starts any number of
 * processes until the host has no memory left; no run gains from so many. `way_out` ends the
 * message. */
NODISCARD Status launcher_check_ranks(int64_t ranks, const char *way_out);

/* `ranks` and `parallel`: 0 selects the values of the study's config. Errors: STATUS_CONFIG if
 * several ranks need mpirun and it is missing, that of launcher_check_ranks, or if there are too
 * few GPUs for so many points. The caller frees its arena. */
NODISCARD Status launcher_open(const Study *study, int64_t ranks, int64_t parallel, Launcher *out);

/* The arguments that start a point, in the arena; NULL if memory is out. */
char **launcher_arguments(Launcher *launcher, const StudyPoint *point);

/* Prints the command in shell syntax. */
NODISCARD Status launcher_print(Launcher *launcher, const StudyPoint *point, FILE *file);

/* Starts a point in a slot, 0 <= slot < parallel. */
NODISCARD Status launcher_start(Launcher *launcher, const StudyPoint *point, int slot, pid_t *out);

/* CUDA_VISIBLE_DEVICES=... with the slot-th of `parallel` equal parts of `gpus` GPUs, taken from
 * the list `visible`; NULL: all. In the arena. */
char *launcher_gpus(Arena *arena, const char *visible, int gpus, int64_t parallel, int slot);

/* The directory of this program and the others; "." if it is the current one. In the arena. */
const char *launcher_programs(Arena *arena);
