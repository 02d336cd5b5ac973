/* Run: the state of an experiment while it trains. launch/run/run_*.h hold the phases of a run: it
 * opens its directory, steps, logs and evaluates, saves, stops. */
#pragma once

#include "checkpoints/memory_snapshot.h"
#include "launch/run/energy.h"
#include "launch/run/evaluation.h"
#include "launch/run/metrics.h"
#include "launch/run/run_directory.h"
#include "launch/run/run_schedule.h"
#include "launch/run/sampler.h"
#include "launch/run/saver.h"
#include "launch/run/shard_saver.h"

#include <stdbool.h>

typedef struct Run {
    Config *config; /* e's */
    Experiment e;
    const char *directory; /* the config's `output` */
    RunDirectory place;    /* rank 0 only, as are metrics */
    bool is_displaced;     /* another run has the directory */
    char *changes;     /* allowed changes of the config since the checkpoint; NULL without one */
    int64_t set_aside; /* checkpoints that were moved aside at the start */
    Metrics *metrics;
    Saver *saver;            /* of whole files */
    ShardSaver *shard_saver; /* NULL without checkpoint.sharded */
    Evaluator *evaluator;    /* NULL without data.val */
    Sampler *sampler;        /* of rank 0; NULL: no samples */
    Progress progress;       /* the content of a checkpoint */
    double loss, norm;       /* of step loss_step */
    double saturated;        /* of the same step, nn/float8_training.h; NaN: nothing is counted */
    int64_t loss_step;
    bool has_failed; /* step loss_step was not finite, and a smaller loss scale does not help */
    size_t mem_bytes, peak_bytes;
    Fetch saturated_fetch;
    Fetch loss_fetch, norm_fetch; /* of step results_step; -1: no results are pending */
    int64_t results_step;
    Fetch noise_fetch;                     /* the same of a step that measures the noise scale */
    bool measures_noise, noise_is_pending; /* in the current step; in the last one */
    NoiseSample noise_sample;              /* its units */
    EnergyMeter *energy;                   /* NULL: not measured */
    bool counts_energy;                    /* this rank has the counters of its device */
    double energy_read, energy_polled;     /* joules of all ranks, of this process; clock_seconds */
    double agreed_s;      /* rank 0's progress.train_s, if the schedule depends on it */
    Schedule schedule;    /* of the current step */
    double resumed_s;     /* progress.train_s when this process took over */
    double started, born; /* clock_seconds of its first step, of the process */
    double start_s;       /* from the process's start to the end of its first step */
    double marked_at;     /* clock_seconds of the last run_mark */
    char stages[256];     /* the stages of the start, with seconds */
    double saved_at;      /* training seconds and step of the last checkpoint */
    int64_t saved_step;
    bool save_is_late;                /* by rank 0's clock and checkpoint.interval */
    char memory[MEMORY_FOLDER_BYTES]; /* the folder of this run's memory snapshots; "": none */
    double kept_at; /* training seconds and step of the last save or memory snapshot */
    int64_t kept_step;
    bool memory_is_late;                       /* by rank 0 and checkpoint.memory_interval */
    bool memory_is_missed, memory_is_reported; /* the last snapshot of this host was not written */
    int recovered_rank; /* whose host had the state that this run starts from; -1: the disk */
    double logged_at;   /* clock, step and tokens of the last log line */
    int64_t logged_step, logged_tokens;
    double logged_joules;
    int32_t *tokens, *targets; /* a batch on the host */
} Run;

/* Ends a stage of the start: the time since the last mark goes to `stage` in the line "started
 * in". */
void run_mark(Run *run, const char *stage);

/* Training seconds so far, including those before a resume. Not collective. */
double run_seconds(const Run *run);

/* What this process has done; the training time is that of the last step, on this rank. Not
 * collective. */
RunPosition run_position(const Run *run);

/* Whether the run has come to its end, by its stop rules and training.stop.early. Not
 * collective. */
bool run_is_done(const Run *run);

/* Updates run->mem_bytes, the memory that this process uses now, and run->peak_bytes. A GPU counts
 * all processes: what others used when it was opened is subtracted. */
void run_look_at_memory(Run *run);

/* Handles a Status that only one rank may have during collective work: a failure terminates the
 * other ranks, which would otherwise wait for it. */
NODISCARD Status run_alone(Run *run, Status status);

/* Writes summary.json with this status. Rank 0 writes; not collective. */
NODISCARD Status run_summarize(Run *run, const char *status);

/* Writes summary.json for the outcome of the training, prints the last line, and returns `status`.
 * Not collective. */
NODISCARD Status run_end(Run *run, Status status);

void run_close(Run *run);
