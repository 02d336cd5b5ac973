/* A point of a study: a run directory and its progress.
 *
 * Its state is read from the directory, whoever started the run (./sweep --local, a Slurm job, or
 * ./train by hand), so all observers agree. Besides the files of ./train, a point's directory has
 *   attempts.log   a line per start and end:
 *                  start TIME HOST  |  exit CODE TIME  |  stopped CODE TIME
 *   stderr.log     the standard error of the last attempt
 *   rungs.log      of a candidate of a tuning, a line per rung: rung SHARE LOSS STEP TRAIN_S
 * `stopped` is an end on request that left no checkpoint of that moment; it is not a failure. */
#pragma once

#include "launch/config/config.h"
#include "launch/config/tune.h"
#include "launch/run/phases.h"

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
    int failures;       /* attempts of this stage whose failure another attempt may avoid */
    int exit_code;      /* of the last attempt; -1: none has ended */
    bool has_diverged;  /* its loss was not finite, so another attempt would end the same way */
    bool is_unreadable; /* its files could not be read just now; it has failed until they can be */
    char message[400];
    int64_t step; /* -1: none yet; likewise the numbers below, as NaN */
    double tokens, train_s, train_loss, val_loss, best_val_loss, tok_per_s, joules;
    double seconds_left; /* of training, by the stop rules */
} PointStatus;

/* What lines of attempts.log say. */
typedef struct PointTally {
    int attempts, failures, exit_code; /* as in PointStatus */
} PointTally;

typedef struct StudyPoint {
    const char *name, *directory, *stem; /* stem: the name without a number for uniqueness */
    const char *const *keys;             /* the swept keys, NULL-terminated */
    Config *config;
    double share;      /* of its budget, after which it is done; 1 unless it is tuned */
    bool is_result;    /* false for a candidate that is not the best, or not yet */
    bool is_over;      /* a candidate that a rung has ended; a trunk with no fork left */
    bool is_blocked;   /* a branch whose checkpoint does not exist yet */
    ConfigStop cut;    /* of a trunk: the end of its stage; else zeros */
    const char *limit; /* the override that ends the stage there; NULL: none */
    ConfigStop from;   /* of a branch: the position at which it starts */
    bool is_asked;     /* for one more attempt by this command, also after a final exit code */
    bool is_submitted; /* to Slurm, up to its share; set by slurm_submit_next */
    int order;         /* points of a lower one start first */
    int combination; /* of the tuned ones, with the values of the tuned keys and the seed's index */
    const char *const *tuned;
    int seed;
    PointTally lost;     /* lines of this process that attempts.log could not take */
    bool is_lost_newest; /* the last line is one of them */
    PointStatus status;
} StudyPoint;

const char *point_state_name(PointState state);

/* Reads point->status from the directory. */
void point_refresh(StudyPoint *point);

/* The completed share of its budget, by the stop rule that is nearest to its end. */
double point_share(const StudyPoint *point);

/* The position of its run. */
RunPosition point_position(const StudyPoint *point);

/* The override that ends its next attempt before its budget, such as training.stop.early=25%; "" if
 * it runs to its end. */
enum { LIMIT_BYTES = 64 };
const char *point_limit(const StudyPoint *point, char text[LIMIT_BYTES]);

/* Whether it has failed, and another attempt is not due: it cannot succeed and nobody asks, it
 * failed more than `retries` times, or it is a candidate and diverged. Unreadable files are no
 * reason: a later look may read them. */
bool point_is_given_up(const StudyPoint *point, int64_t retries);

/* Reads the numbers of metrics.jsonl and summary.json into the status, and the values of `status`
 * and `outcome` in the latter, "" if missing. Errors: those of run_files.h. */
NODISCARD Status point_read_numbers(StudyPoint *point, char summary_status[16], char outcome[16]);

/* Whether an exit code is final: the command, the input or the config is wrong or the run does not
 * fit, so another attempt would end the same way. */
bool point_exit_is_final(int code);

/* Records a start, and an end; `stopped` if the end was requested. If attempts.log cannot take the
 * line, this process counts it in `lost`. Errors: those of text_file_append. */
NODISCARD Status point_note_start(StudyPoint *point);
NODISCARD Status point_note_end(StudyPoint *point, int code, bool stopped);
