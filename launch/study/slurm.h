/* Runs a study on a cluster: a job array over the unfinished points, and a job that writes the
 * report when they have ended.
 *
 * Behavior of Slurm on which this relies, from its manual pages (22.05):
 *   sbatch --signal=B:USR1@180   only the batch shell gets SIGUSR1, 180 s before the time limit, or
 *                                up to 60 s earlier
 *   scontrol requeue ARRAY_TASK  requeues one task of the array; a task's SLURM_JOB_ID may name the
 *                                whole array
 *   sbatch --dependency=afterany:ID   may start when all tasks have ended; a requeued task has not
 *   sbatch --array=0-5%2         tasks 0 to 5, two at a time
 *
 * A tuning needs the results of a rung before it submits the next one. The job after the array
 * therefore decides, submits the next array with the job that follows it, and reports.
 * slurm/points.log has a line for each submitted point: NAME LIMIT (point_limit). The trunk of
 * branches is submitted stage by stage in the same way. */
#pragma once

#include "launch/study/study.h"

#include <stdio.h>

/* Write the scripts that slurm_submit submits. `programs`: the directory of ./train and ./sweep. */
NODISCARD Status slurm_write_array(const Study *study, const char *programs, FILE *file);
NODISCARD Status slurm_write_report(const Study *study, const char *programs, FILE *file);

/* STATUS_CONFIG if sbatch is missing. */
NODISCARD Status slurm_check_possible(void);

/* Writes both scripts to the study's slurm/ and submits them; records the job numbers in
 * sweep.json. The study must be claimed. Errors: STATUS_FAILURE if jobs of the study are still
 * queued, or with the message of sbatch. */
NODISCARD Status slurm_submit(Study *study, FILE *messages);

/* The same for the points that the tuning has added or prolonged since the last submission, from
 * the job that follows it. Submits nothing if there are none. */
NODISCARD Status slurm_submit_next(Study *study, FILE *messages);

/* STATUS_FAILURE, with their numbers, if jobs of the study are queued or running. */
NODISCARD Status slurm_check_idle(const Study *study);

/* Whether a point still has to run. */
bool slurm_wants(const StudyPoint *point);
