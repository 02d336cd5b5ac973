/* A study on a cluster: a job array over the points that are not done, and a job that reports when
 * they have ended.
 *
 * What is relied on, from Slurm's manual pages (22.05):
 *   sbatch --signal=B:USR1@180   the batch shell alone gets SIGUSR1, 180 s before the time limit,
 *   or up to 60 s earlier scontrol requeue ARRAY_TASK  puts one task of the array back; a task's
 *   SLURM_JOB_ID may name the whole array sbatch --dependency=afterany:ID   may start once all
 *   tasks have ended; a requeued task has not
 *   sbatch --array=0-5%2         tasks 0 to 5, two at a time */
#pragma once

#include "launch/study/study.h"

#include <stdio.h>

/* The scripts as they would be submitted. `programs`: the folder of ./train and ./sweep. */
NODISCARD Status slurm_write_array(const Study *study, const char *programs, FILE *file);
NODISCARD Status slurm_write_report(const Study *study, const char *programs, FILE *file);

/* STATUS_CONFIG without sbatch. */
NODISCARD Status slurm_check_possible(void);

/* Writes both into the study's slurm/ and submits them; the job numbers go into sweep.json. The
 * study must be claimed. Errors: STATUS_FAILURE where jobs of the study are still queued, or with
 * what sbatch said. */
NODISCARD Status slurm_submit(Study *study, FILE *messages);

/* STATUS_FAILURE where jobs of the study are queued or running, with their numbers. */
NODISCARD Status slurm_check_idle(const Study *study);

/* Whether a point is still to be run. */
bool slurm_wants(const StudyPoint *point);
