/* The processes of this machine, as /proc shows them. One that ends meanwhile is as if it were not
 * there. Nothing here is collective. */
#pragma once

#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct ProcessInfo {
    pid_t pid, parent;
    char state; /* as in proc(5): R, S, D, T, Z, ... */
} ProcessInfo;

/* Calls visit(context, process) for each until it is false. No /proc: no calls. Errors:
 * STATUS_FAILURE. */
NODISCARD Status processes_visit(bool (*visit)(void *context, const ProcessInfo *process),
                                 void *context);

/* Reads /proc/PID/NAME, cut to fit, with a zero behind it: how many bytes, 0 where it cannot be
 * read. */
size_t process_read(pid_t pid, const char *name, char *out, size_t room);
