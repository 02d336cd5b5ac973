/* A point of a study: a run directory, and how far it is.
 *
 * Everything is read from the directory, whoever started the run there (./sweep --local, a Slurm
 * job, or ./train by hand), so that all agree. Beside what ./train writes, a point's directory
 * holds
 *   attempts.log   a line for each start and end:  start TIME HOST  |  exit CODE TIME  |  stopped
 *   CODE TIME stderr.log     the standard error of the last attempt
 * `stopped` is an end that was asked for and left no checkpoint of that moment; it is no
 * failure. */
#pragma once

#include "launch/config/config.h"

#include <stdbool.h>

typedef enum PointState {
    POINT_WAITING,
    POINT_RUNNING,
    POINT_INTERRUPTED, /* goes on from its last checkpoint */
    POINT_DONE,
    POINT_FAILED,
    POINT_OOM, /* it does not fit: a result, not a failure */
    POINT_STATES
} PointState;

typedef struct PointStatus {
    PointState state;
    int attempts;
    int failures;  /* attempts that failed in a way that another start may mend */
    int exit_code; /* of the last attempt that ended; -1: none */
    char message[400];
    int64_t step; /* -1: none yet; as are the numbers below, as NaN */
    double tokens, train_s, train_loss, val_loss, best_val_loss, tok_per_s;
    double seconds_left; /* of training, by the stop rules */
} PointStatus;

typedef struct StudyPoint {
    const char *name, *directory;
    const char *const *keys; /* the keys that the sweep sets, NULL-terminated */
    Config *config;
    PointStatus status;
} StudyPoint;

const char *point_state_name(PointState state);

/* Reads `point->status` from the directory. */
void point_refresh(StudyPoint *point);

/* Reads the numbers of metrics.jsonl and summary.json into the status; `summary_status` and
 * `outcome` get what the latter says under these names, or "". */
void point_read_numbers(StudyPoint *point, char summary_status[16], char outcome[16]);

/* Whether an exit code is for good: the command, the input or the config is wrong or the run does
 * not fit, and the same start would end so again. */
bool point_exit_is_final(int code);

/* Notes a start, and an end; `stopped` where the end was asked for. */
NODISCARD Status point_note_start(const StudyPoint *point);
NODISCARD Status point_note_end(const StudyPoint *point, int code, bool stopped);
