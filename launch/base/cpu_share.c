#include "launch/base/cpu_share.h"

#include "core/base/host_limits.h"

#include <omp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

/* The cores that the launcher may use if one started this rank; otherwise those of this process. */
static void cores_allowed(cpu_set_t *cores) {
    bool launched = getenv("OMPI_COMM_WORLD_RANK") != NULL;
    if (launched && sched_getaffinity(getppid(), sizeof *cores, cores) == 0) return;
    if (sched_getaffinity(0, sizeof *cores, cores) == 0) return;
    CPU_ZERO(cores);
    CPU_SET(0, cores);
}

static int share_size(int count, int local_rank, int local_size) {
    int size = (int)((int64_t)count * (local_rank + 1) / local_size -
                     (int64_t)count * local_rank / local_size);
    return size > 0 ? size : 1;
}

/* If a control group allows less time than its cores have, more threads would only be throttled. */
static int quota_share(int local_rank, int local_size) {
    return share_size(host_cores(""), local_rank, local_size);
}

static int least(int a, int b) { return a < b ? a : b; }

int cpu_share_take(int threads, int local_rank, int local_size) {
    cpu_set_t all, share;
    cores_allowed(&all);
    int count = CPU_COUNT(&all), index = 0;
    int first = count * local_rank / local_size, end = count * (local_rank + 1) / local_size;
    CPU_ZERO(&share);
    for (size_t core = 0; core < CPU_SETSIZE; core++) {
        if (!CPU_ISSET(core, &all)) continue;
        if (index >= first && index < end) CPU_SET(core, &share);
        index++;
    }
    if (first == end) share = all; /* more ranks than cores: the system shares them */
    sched_setaffinity(0, sizeof share, &share);
    if (threads == 0)
        threads =
            least(share_size(count, local_rank, local_size), quota_share(local_rank, local_size));
    omp_set_num_threads(
        threads); /* OpenMP counted the cores before they were divided: only one, if mpirun binds */
    return threads;
}
