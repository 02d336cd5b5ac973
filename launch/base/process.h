/* Child processes of a program. When the program ends in any way, each child receives SIGUSR1, on
 * which a run saves. Each has a separate process group, so that Ctrl-C in a terminal reaches only
 * the program. */
#pragma once

#include "core/status.h"

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct ProcessPlan {
    char *const *arguments; /* NULL-terminated; the first is the program, searched in PATH */
    /* A file that receives standard error. Standard output is discarded, or stays this process's.
     */
    const char *errors;
    bool shows_output;
    char *const *variables; /* NAME=VALUE to add to the environment, NULL-terminated; may be NULL */
    const cpu_set_t *cores; /* cores to run on; NULL: all cores of this process */
} ProcessPlan;

/* Creates an empty file in /tmp for `errors`, or for another text of a child; the caller removes
 * it. */
enum { PROCESS_FILE_BYTES = 64 };
NODISCARD Status process_file_create(const char *what, char path[PROCESS_FILE_BYTES]);

/* Whether a program is in PATH. */
bool process_can_find(const char *program);

/* Starts it. A failure after the fork gives exit code 127 and a line in `errors`. */
NODISCARD Status process_start(const ProcessPlan *plan, pid_t *out);

/* Whether a child has ended, and its exit code; 128 + signal if a signal ended it. */
bool process_has_ended(pid_t pid, int *code);

/* Runs a program to its end. `output` and `errors` receive its standard output and error,
 * truncated, without the last newline. */
NODISCARD Status process_run(char *const *arguments, char *output, char *errors, size_t capacity,
                             int *code);
