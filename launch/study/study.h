/* Study: a config with a sweep, its points, and its directory runs/STUDY/ (docs/sweep.md).
 *
 *   study.yaml         the study's config, resolved
 *   sweep.json         the points with their keys and states; the numbers of Slurm jobs
 *   slurm/             the submitted scripts, their logs, and jobs.log, a line per job
 *   POINT/             a run directory per point, which ./train POINT/config.yaml runs alone
 *
 * Not collective: ./sweep is one process. */
#pragma once

#include "launch/config/config_load.h"
#include "launch/config/sweep_points.h"
#include "launch/run/run_directory.h"
#include "launch/study/point.h"

#include <stdio.h>

enum { JOB_BYTES = 32 };

typedef struct Study {
    const char *directory; /* the config's `output` */
    Config *config;
    SweepPoints *sweep;
    ConfigBase *base; /* of the points */
    StudyPoint *points;
    int count, capacity;
    struct Tuning *tunings; /* of each tuned combination: launch/study/tuning.h */
    struct Trunk *trunks;   /* launch/study/trunk.h */
    const char **former;    /* directories of points that are no longer in the sweep */
    int n_former;
    bool is_made;       /* opened by its directory: the points are those that were created */
    RunDirectory place; /* path NULL: not claimed */
    char array_job[JOB_BYTES], report_job[JOB_BYTES]; /* the jobs submitted last; "" if none */
    Arena arena;
} Study;

/* Reads the study from its config or from its directory (then with the points as they were
 * created), and the state of each point. Changes nothing. Errors: STATUS_CONFIG for a config
 * without a sweep, an invalid one or invalid points; STATUS_USAGE if an override sets a swept
 * key. */
NODISCARD Status study_open(const char *path, int n_overrides, char **overrides, Study **out);
void study_close(Study **study);

/* Creates the directories of the study and its points, or takes over existing ones. Errors:
 * STATUS_FAILURE if another sweep holds the study; STATUS_CONFIG if the directory contains another
 * study or other files. */
NODISCARD Status study_claim(Study *study);

/* Creates the directories of the points from `first` on, as study_claim does. */
NODISCARD Status study_claim_points(Study *study, int first);

/* Adds a point of the sweep with its directory and state; changes nothing on disk. `seed`: the
 * index of its seed in its combination. Errors: STATUS_CONFIG for an invalid one. */
NODISCARD Status study_add(Study *study, const SweepPoint *swept, int seed, int *index);

/* The two parts of study_add for many points: adds one without its directory; gives all from
 * `first` on their directories and reads their states. */
NODISCARD Status study_append(Study *study, const SweepPoint *swept, int seed, int *index);
NODISCARD Status study_settle(Study *study, int first);

/* Lets trunks and tunings decide what runs next, by the current states; creates the directories of
 * new points. Requires the lock. */
NODISCARD Status study_advance(Study *study);

/* Asks for one more attempt of each point that has failed, whatever its exit code. Before
 * study_claim. */
void study_ask(Study *study);

/* Errors: STATUS_FAILURE if a trunk or a tuning waits because of a fault. */
NODISCARD Status study_check(const Study *study);

/* Whether some points run in stages, or wait for others. */
bool study_has_stages(const Study *study);

/* `key="value"`, in the arena; NULL if memory is out. */
char *study_override(Arena *arena, const char *key, const char *value);

/* Whether the directory contains this study. */
bool study_exists(const Study *study);

/* Sets the name and the directory of a point. */
NODISCARD Status study_point_place(Study *study, StudyPoint *point, const char *name);

/* As study_point_place; also sets the name and output of the point's config. */
NODISCARD Status study_point_rename(Study *study, StudyPoint *point, const char *name);

/* Lists the directories that belong to no point and are kept unchanged; prints nothing if there are
 * none. */
void study_say_former(const Study *study, FILE *file);

/* Reads the states of the points again. */
void study_refresh(Study *study);

/* Writes sweep.json. Requires the lock. */
NODISCARD Status study_write(const Study *study);

/* Reads the numbers of the jobs submitted last, from sweep.json or else slurm/jobs.log. A damaged
 * sweep.json is renamed, with a message. Requires the lock. Errors: STATUS_DATA if it is damaged
 * and jobs.log is missing; STATUS_FAILURE. */
NODISCARD Status study_read_jobs(Study *study);

/* Records a job in slurm/jobs.log; `kind`: "array" or "report". */
NODISCARD Status study_note_job(const Study *study, const char *kind, const char *job);

int study_count(const Study *study, PointState state);
