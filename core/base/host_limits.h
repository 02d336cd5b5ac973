/* Host limits: how much memory and how many cores a process may use. Three things limit it: the
 * machine; its control groups, of version 1 and 2, each with all ancestors that it can see (kernel,
 * admin-guide/cgroup-v1/memory.rst, cgroup-v2.rst); and its own resource limits. What cannot be
 * read does not limit. Not collective.
 *
 * `root` goes before /proc and /sys: "" for what is here. */
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct HostMemory {
    size_t free_bytes; /* that are not in use, or that the system can take back without swapping */
    size_t total_bytes;
} HostMemory;

/* What this process shares with others: the least of the machine and each group. */
HostMemory host_memory(const char *root);

/* What this process alone may map: RLIMIT_AS less what is mapped, RLIMIT_DATA less what of that is
 * data. SIZE_MAX where there is no limit. */
HostMemory host_memory_own(const char *root);

/* The cores whose time the groups allow: the least quota over its period, rounded up. INT_MAX where
 * there is none. */
int host_cores(const char *root);

#ifdef __cplusplus
}
#endif
