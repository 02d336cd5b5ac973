/* Processes that a sweep starts. Each is ended when the sweep is gone, however that ended: by
 * SIGUSR1, on which a run saves. They have process groups of their own, so that a terminal's Ctrl-C
 * reaches the sweep alone. */
#pragma once

#include "core/status.h"

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct ProcessPlan {
    char *const *arguments; /* NULL-terminated; the first is the program, found in PATH */
    /* A file for the standard error, written anew; the standard output is dropped. */
    const char *errors;
    char *const *variables; /* NAME=VALUE to add to the environment, NULL-terminated; or NULL */
    const cpu_set_t *cores; /* to run on; NULL: all that this process may use */
} ProcessPlan;

/* Whether a program is in PATH. */
bool process_can_find(const char *program);

/* Starts it. What goes wrong after the start is an exit code of 127, and a line in `errors`. */
NODISCARD Status process_start(const ProcessPlan *plan, pid_t *out);

/* Whether a child has ended; its exit code, 128 + signal where a signal ended it. */
bool process_has_ended(pid_t pid, int *code);

/* Runs a program to its end; `output` gets its standard output, `errors` its standard error, cut to
 * fit, without the last newline. */
NODISCARD Status process_run(char *const *arguments, char *output, char *errors, size_t room,
                             int *code);
