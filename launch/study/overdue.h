/* A point whose run has ended while its launcher does not end: Open MPI's mpirun can deadlock where
 * a rank dies as it starts. Such a launcher is ended, and the point is judged by its files. */
#pragma once

#include "launch/study/point.h"

#include <sys/stat.h>
#include <sys/types.h>

typedef struct Overdue {
    pid_t pid;            /* ./train or what launches it */
    struct stat program;  /* ./train */
    struct stat summary;  /* as the attempt found it; zeros where there was none */
    bool has_begun;       /* a rank was seen, or a sign of one */
    bool is_ended;        /* by overdue_check */
    double looked, since; /* clock_seconds; since: nothing of the run is left, else INFINITY; or
                             SIGTERM was sent */
} Overdue;

/* At the start of an attempt. `train`: the path of the program that its ranks run. */
void overdue_begin(Overdue *o, const StudyPoint *point, pid_t pid, const char *train);

/* To be called again and again while the process has not ended. Ends it, and all that it has
 * started, 10 s after its run has: the run's lock is free, and either summary.json says so or no
 * rank is left; 60 s where it has not begun. True where it has just begun to; `line` then says
 * so. */
bool overdue_check(Overdue *o, const StudyPoint *point, char *line, size_t room);

/* The exit code that counts: `code`, or what summary.json says of this attempt where the process
 * was ended here. */
int overdue_code(const Overdue *o, const StudyPoint *point, int code);
