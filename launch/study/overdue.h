/* Detects a launcher that does not end after its run has ended: Open MPI's mpirun can deadlock if a
 * rank dies as it starts. Ends such a launcher; the files of the point then determine its state. */
#pragma once

#include "launch/study/point.h"

#include <sys/stat.h>
#include <sys/types.h>

typedef struct Overdue {
    pid_t pid;            /* ./train or its launcher */
    struct stat program;  /* ./train */
    struct stat summary;  /* at the start of the attempt; zeros if it did not exist */
    bool is_remote;       /* ranks may be on other hosts */
    bool was_locked;      /* the run's lock has been seen: the file system has locks */
    bool has_begun;       /* a rank, or a trace of one, has been seen */
    bool is_ended;        /* by overdue_check */
    double looked, since; /* clock_seconds; since: the time when the run was found to have ended, or
                             SIGTERM was sent; else INFINITY */
} Overdue;

/* Call at the start of an attempt. `train`: the path of the program that its ranks run;
 * `is_remote`: some of them may be on other hosts, and no processes of this one. */
void overdue_begin(Overdue *o, const StudyPoint *point, pid_t pid, const char *train,
                   bool is_remote);

/* Call repeatedly until the process ends. Ends it and its descendants 10 s after the end of its
 * run: the run's lock is free, and either summary.json records the end or no rank is left; after 60
 * s if the run has not begun, or 30 minutes if ranks may be on other hosts. Returns true when it
 * begins to end the process; `line` then holds the message. */
bool overdue_check(Overdue *o, const StudyPoint *point, char *line, size_t capacity);

/* The effective exit code: `code`, or that of summary.json of this attempt if overdue_check ended
 * the process or the run is done, whatever its launcher says. */
int overdue_code(const Overdue *o, const StudyPoint *point, int code);
