/* A run that ./watch shows: its state, its records, and how far it is. Not collective. */
#pragma once

#include "launch/run/phases.h"
#include "launch/study/point.h"
#include "launch/watch/follower.h"

typedef struct WatchedRun {
    StudyPoint point; /* of no study: name, directory, config and status */
    Config *config;   /* point.config */
    Follower follower;
    RunFacts facts;
    const char *state; /* running, done, stopped, ...; a constant */
    RunEnd end;
    double tokens_per_step; /* NaN: unknown */
    Arena arena, facts_arena;
} WatchedRun;

/* Reads the config of a run directory. Errors: STATUS_DATA for a directory that is missing, of a
 * study, or of neither; STATUS_CONFIG for a bad config. Close `out` after a failure, too. */
NODISCARD Status watched_run_open(const char *directory, WatchedRun *out);

/* Reads what the run has written since. Errors: STATUS_FAILURE, STATUS_OUT_OF_MEMORY. */
NODISCARD Status watched_run_read(WatchedRun *run);

/* Whether the run may still write: it runs, or it waits to. */
bool watched_run_goes_on(const WatchedRun *run);

/* Whether any of them may. */
bool watched_runs_go_on(const WatchedRun *runs, int n);
void watched_run_close(WatchedRun *run);
