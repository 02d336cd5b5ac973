/* A point of a study: a run directory and its progress.
 *
 * Its state is read from the directory, whoever started the run (./sweep --local, a Slurm job, or
 * ./train by hand), so all observers agree. Besides the files of ./train, a point's directory has
 *   attempts.log   a line per start and end:
 *                  start TIME HOST  |  exit CODE TIME  |  stopped CODE TIME
 *   stderr.log     the standard error of the last attempt
 * `stopped` is an end on request that left no checkpoint of that moment; it is not a failure. */
#pragma once

#include "launch/config/config.h"

#include <stdbool.h>

typedef enum PointState {
    POINT_WAITING,
    POINT_RUNNING,
    POINT_INTERRUPTED, /* will resume from its last checkpoint */
    POINT_DONE,
    POINT_FAILED,
    POINT_OOM, /* does not fit the memory: a result, not a failure */
    POINT_STATES
} PointState;

typedef struct PointStatus {
    PointState state;
    int attempts;
    int failures;  /* attempts whose failure another attempt may avoid */
    int exit_code; /* of the last attempt; -1: none has ended */
    char message[400];
    int64_t step; /* -1: none yet; likewise the numbers below, as NaN */
    double tokens, train_s, train_loss, val_loss, best_val_loss, tok_per_s;
    double seconds_left; /* of training, by the stop rules */
} PointStatus;

typedef struct StudyPoint {
    const char *name, *directory;
    const char *const *keys; /* the swept keys, NULL-terminated */
    Config *config;
    PointStatus status;
} StudyPoint;

const char *point_state_name(PointState state);

/* Reads point->status from the directory. */
void point_refresh(StudyPoint *point);

/* Reads the numbers of metrics.jsonl and summary.json into the status, and the values of `status`
 * and `outcome` in the latter, "" if missing. */
void point_read_numbers(StudyPoint *point, char summary_status[16], char outcome[16]);

/* Whether an exit code is final: the command, the input or the config is wrong or the run does not
 * fit, so another attempt would end the same way. */
bool point_exit_is_final(int code);

/* Records a start, and an end; `stopped` if the end was requested. */
NODISCARD Status point_note_start(const StudyPoint *point);
NODISCARD Status point_note_end(const StudyPoint *point, int code, bool stopped);
