/* Tuning: finds the best candidate of a combination by successive halving.
 *
 * All candidates, with the first seed, train for a share of the budget. The better half, at least
 * KEPT, resume for a longer share, and so on; the shares form a geometric sequence up to the whole
 * budget, which the last KEPT candidates complete. The best then trains with the other seeds.
 *
 * A rung is a cut of the whole run: its learning rate follows the schedule of the whole budget
 * (training.stop.early), so that a candidate resumes exactly and the best is one of the points. A
 * cut run has not decayed, which favors low learning rates. So the winner must be bracketed at the
 * whole budget: a neighbor on a numeric key that an early rung has ended resumes and completes it,
 * and beyond the edge of a log-spaced key up to WIDENED new candidates are added.
 *
 * Every decision is a function of the results of the rungs. These are kept in rungs.log of each
 * candidate, so a study without its checkpoints, or after a kill, decides the same again. Sources:
 * Jamieson and Talwalkar, arXiv:1502.07943; Li et al., arXiv:1603.06560. */
#pragma once

#include "launch/study/study.h"

enum { KEPT = 3, WIDENED = 3, RUNGS_MAX = 8, TUNING_ADDS = 2 * WIDENED * TUNE_AXES };

typedef struct TuneCandidate {
    int point; /* index in the study */
    const char *const *tuned;
    bool is_added;            /* beyond the edge of the grid */
    double losses[RUNGS_MAX]; /* at the end of each rung; NaN: unknown; INFINITY: failed */
    int ended;                /* the rung that ended it; -1: none */
    bool has_resumed;         /* after `ended`, as a neighbor of the best */
    const char *why;          /* it ended; "" */
} TuneCandidate;

typedef struct Tuning {
    const SweepCombination *combination;
    int index; /* of the combination */
    int rungs; /* the last is the whole budget */
    double shares[RUNGS_MAX];
    TuneCandidate *candidates;
    int count, capacity;
    int best; /* candidate; -1: not decided, or none completed the budget */
    bool is_decided;
    const char *edge;  /* a sentence if the best is at the edge of its candidates; "" */
    const char *fault; /* why it could not read or note its results, and so waits; "" */
} Tuning;

/* Makes the tunings of an open study, and decides what their results allow; one whose results
 * cannot be read waits for tunings_advance. Changes nothing on disk. */
NODISCARD Status tunings_open(Study *study);

/* Records new results in the rungs.log files, and decides. A tuning whose results cannot be read or
 * noted waits for the next call. Requires the lock. study_advance creates the directories of new
 * points.
 */
NODISCARD Status tunings_advance(Study *study);

/* Sets the rungs: one for each halving, then the whole budget. */
void tuning_rungs(Tuning *tuning);

/* How many of `count` candidates a rung keeps: the better half, at least KEPT of them. */
int tuning_kept(int count);

/* Refuses a first rung that is too short to rank anything: less than LEAST_STEPS steps or
 * LEAST_SECONDS seconds. Errors: STATUS_CONFIG with the least budget. */
enum { LEAST_STEPS = 10, LEAST_SECONDS = 1 };
NODISCARD Status tuning_check(const Study *study, const Tuning *tuning);

/* The budgets that the candidates of a combination take, without candidates beyond the grid and
 * resumed neighbors: sum over rungs of candidates x (share - share before). The best one is
 * included. */
double tuning_cost(const Tuning *tuning);
