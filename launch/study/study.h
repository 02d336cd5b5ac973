/* Study: a config with a sweep, its points, and its directory runs/STUDY/ (docs/sweep.md).
 *
 *   study.yaml         the study's config, resolved
 *   sweep.json         the points with their keys and states; Slurm's job numbers
 *   slurm/             the scripts that were submitted, their logs, and jobs.log, a line for each
 *   job POINT/             an ordinary run directory for each; ./train runs/STUDY/POINT/config.yaml
 *   runs it alone
 *
 * Nothing here is collective: ./sweep is one process. */
#pragma once

#include "launch/run/run_directory.h"
#include "launch/study/point.h"

#include <stdio.h>

enum { JOB_BYTES = 32 };

typedef struct Study {
    const char *directory; /* the config's `output` */
    Config *config;
    StudyPoint *points;
    int count;
    const char **former; /* directories of points that the sweep no longer has */
    int n_former;
    bool is_made;       /* it was opened by its directory: its points are what they were made as */
    RunDirectory place; /* path NULL: the study is only looked at */
    char array_job[JOB_BYTES], report_job[JOB_BYTES]; /* what was submitted last; "" */
    Arena arena;
} Study;

/* Reads the study from its config, or from its directory (then the points are what they were made
 * as), and the state of each point. Touches nothing. Errors: STATUS_CONFIG for a config without a
 * sweep, a bad one or one whose points are bad; STATUS_USAGE where an override sets a key that is
 * swept. */
NODISCARD Status study_open(const char *path, int n_overrides, char **overrides, Study **out);
void study_close(Study **study);

/* Makes the study's directory and those of its points, or takes what is there. Errors:
 * STATUS_FAILURE where another sweep works on it, STATUS_CONFIG where the directory holds another
 * study or something else. */
NODISCARD Status study_claim(Study *study);

/* Whether the directory holds this study by now. */
bool study_exists(const Study *study);

/* Gives a point another directory, and its config that name and output. */
NODISCARD Status study_point_rename(Study *study, StudyPoint *point, const char *name);

/* Says which directories are left alone because no point is theirs; nothing where there are
 * none. */
void study_say_former(const Study *study, FILE *file);

/* Reads the points' states anew. */
void study_refresh(Study *study);

/* Writes sweep.json. Only with the lock. */
NODISCARD Status study_write(const Study *study);

/* Reads the numbers of the jobs that were submitted last, from sweep.json or else slurm/jobs.log. A
 * sweep.json that is damaged is kept under another name, which is said. Only with the lock. Errors:
 * STATUS_DATA where it is damaged and nothing else tells; STATUS_FAILURE. */
NODISCARD Status study_read_jobs(Study *study);

/* Notes a job in slurm/jobs.log; `kind`: "array" or "report". */
NODISCARD Status study_note_job(const Study *study, const char *kind, const char *job);

int study_count(const Study *study, PointState state);
