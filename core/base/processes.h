/* The processes of this machine, from /proc. A process that ends meanwhile is skipped. Nothing here
 * is collective. */
#pragma once

#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct ProcessInfo {
    pid_t pid, parent;
    char state; /* as in proc(5): R, S, D, T, Z, ... */
} ProcessInfo;

/* Calls visit(context, process) for each process until it returns false. No calls without /proc.
 * Errors: STATUS_FAILURE. */
NODISCARD Status processes_visit(bool (*visit)(void *context, const ProcessInfo *process),
                                 void *context);

/* Reads /proc/PID/NAME, truncated to `capacity`, and appends a zero byte. Returns the number of
 * bytes; 0 if it cannot be read. */
size_t process_read(pid_t pid, const char *name, char *out, size_t capacity);
