/* Run: an experiment on its way through training: steps, evaluations, checkpoints, and what it says
 * of itself. */
#pragma once

#include "launch/base/signals.h"
#include "launch/run/evaluation.h"
#include "launch/run/metrics.h"
#include "launch/run/run_directory.h"
#include "launch/run/state.h"
#include "nn/optim/schedule.h"

#include <stdbool.h>

typedef struct Run {
    Config *config; /* e's */
    Experiment e;
    const char *directory; /* the config's `output` */
    RunDirectory place;    /* rank 0 only, as are metrics and saver */
    char *changes;         /* of the config since the checkpoint; NULL without one */
    int64_t set_aside;     /* checkpoints that were moved aside at the start */
    Metrics *metrics;
    Saver *saver;
    Evaluator *evaluator; /* NULL without data.val */
    Progress progress;    /* what a checkpoint carries */
    double loss, norm;    /* of step loss_step */
    int64_t loss_step;
    bool has_failed; /* that step was not finite, and nothing can be done about it */
    size_t mem_bytes, peak_bytes;
    Fetch loss_fetch, norm_fetch; /* on their way from step results_step, unless that is -1 */
    int64_t results_step;
    double resumed_s;     /* progress.train_s when this process took over */
    double started, born; /* clock_seconds of its first step, of the process */
    double start_s;       /* from the process's start to the end of its first step */
    double marked_at;     /* clock_seconds of the last run_mark */
    char stages[256];     /* what was done until then, with seconds */
    double saved_at;      /* training seconds and step of the last checkpoint */
    int64_t saved_step;
    bool save_is_late; /* by rank 0's clock and checkpoint.interval */
    double logged_at;  /* clock and step of the last log line */
    int64_t logged_step;
    int32_t *tokens, *targets; /* a batch on the host */
} Run;

/* Resolves each `auto` as the config.yaml of an existing run has it. Not collective. */
NODISCARD Status run_adopt(Run *run);

/* Creates the run directory or takes an existing run's, locks it, writes config.yaml and plan.json,
 * opens the logs and loads the newest good checkpoint. `resume` is auto, none or a checkpoint's
 * path. Collective.
 * Errors: STATUS_CONFIG where the directory is not this run's, STATUS_DATA for a bad checkpoint. */
NODISCARD Status run_open(Run *run, const char *resume);

/* Ends a stage of the start: what was done since the last mark, for the line that tells where the
 * time went. */
void run_mark(Run *run, const char *stage);

/* Trains until the stop rule or a signal. Collective. STATUS_STOPPED after SIGUSR1, once the
 * checkpoint is safe. */
NODISCARD Status run_train(Run *run);

/* One optimizer step: its micro-batches and update, and its loss and norm read back. Collective. */
NODISCARD Status run_step(Run *run);

/* Writes summary.json. */
NODISCARD Status run_summarize(Run *run, const char *status);

/* Notes in the run's directory that the run did not fit the memory, and with which `message`, as
 * "outcome": "no_room" of summary.json; what stands there of earlier starts stays. A directory that
 * is not this run's, or is in use, is left alone. Rank 0 writes; not collective. */
void run_note_no_room(Run *run, const char *message);

void run_close(Run *run);
