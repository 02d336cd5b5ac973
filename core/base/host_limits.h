/* Host limits: the memory and the cores that a process may use. Three things limit them: the
 * machine; its control groups of version 1 and 2, each with all visible ancestors (kernel,
 * admin-guide/cgroup-v1/memory.rst, cgroup-v2.rst); and its resource limits. A limit that cannot be
 * read is ignored. Not collective.
 *
 * `root` is the prefix of /proc and /sys; "" for this machine. */
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct HostMemory {
    size_t free_bytes; /* unused, or reclaimable without swapping */
    size_t total_bytes;
} HostMemory;

/* The memory that this process shares with others: the minimum over the machine and each group. */
HostMemory host_memory(const char *root);

/* The memory that this process alone may map: RLIMIT_AS less the mapped memory, RLIMIT_DATA less
 * the mapped data. SIZE_MAX if there is no limit. */
HostMemory host_memory_own(const char *root);

/* The number of cores that the groups allow: the smallest quota over its period, rounded up.
 * INT_MAX if there is no limit. */
int host_cores(const char *root);

#ifdef __cplusplus
}
#endif
