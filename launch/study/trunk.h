/* Trunks: runs whose checkpoints the branches of a study start from.
 *
 * A study trains its trunk in stages. Each ends at a fork, where the run saves; the checkpoint is
 * then linked as TRUNK/forks/NAME.h5, so that the trunk may remove its own. A branch starts once
 * this file exists. The trunk of a `branch` follows the schedule of the whole run
 * (training.stop.early); that of `budgets` has the constant rate of the stable phase, and each
 * branch the decay of its budget. With `branch: {run}` the forks are the checkpoints of that run
 * that are nearest to their shares.
 *
 * Every decision follows from the files. Sources: Merrill et al., arXiv:2505.23971 (branches);
 * Hägele et al., arXiv:2405.18392 (budgets). */
#pragma once

#include "launch/study/study.h"
#include "launch/study/trunk_run.h"

typedef struct Trunk {
    const SweepTrunk *swept;
    const char *directory;
    StudyPoint *point; /* NULL: a run that is there already */
    Fork *forks;
    const char *fault; /* why it could not go on from a fork, and so waits; "" */
} Trunk;

enum { LEAST_BRANCH_STEPS = 10 };

/* Makes the trunks of an open study and adds their branches; changes nothing on disk. Errors:
 * STATUS_CONFIG if a branch cannot continue the trunk, trains less than LEAST_BRANCH_STEPS steps,
 * or needs a checkpoint that is missing. */
NODISCARD Status trunks_open(Study *study);

/* Links the checkpoints of forks that have been reached, and lets trunks and branches go on. A
 * trunk whose checkpoint cannot be linked waits for the next call. Requires the lock. Errors:
 * memory. */
NODISCARD Status trunks_advance(Study *study);

/* The trunk and the fork of a branch; NULL: no branch. */
const Trunk *trunk_of(const Study *study, const StudyPoint *point, const Fork **fork);
