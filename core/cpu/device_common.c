/* The CPU as a device: memory from the system, op-by-op replay. Compiled once, unlike the
 * kernels. */
#include "core/base/clock.h"
#include "core/base/host_limits.h"
#include "core/cpu/openblas.h"
#include "core/device.h"
#include "core/plan.h"

#include <omp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* Memory of a running process beside tensors: measured 20 MiB. */
enum { STACK_BYTES = 8 << 20, HEAP_BYTES = 32 << 20 };

/* Anonymous pages are zeroed and return to the system when released. Huge pages reduce TLB
 * misses. */
static Status cpu_alloc(Device *device, size_t bytes, void **out) {
    (void)device;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return OUT_OF_MEMORY("%zu bytes of tensors", bytes);
    madvise(memory, bytes, MADV_HUGEPAGE);
    *out = memory;
    return OK;
}

static void cpu_release(Device *device, void *memory, size_t bytes) {
    (void)device;
    munmap(memory, bytes);
}

static Status cpu_copy(Device *device, void *to, const void *from, size_t bytes) {
    (void)device;
    if (bytes > 0) memcpy(to, from, bytes);
    return OK;
}

static size_t less(size_t bytes, size_t by) { return bytes > by ? bytes - by : 0; }

/* Memory beside tensors that is not mapped yet; relevant only if the process has a mapping
 * limit. Three threads come on top of those that compute: the writer of checkpoints, its copier,
 * and the hash of the token files. */
static size_t mapped_later(const Device *device) {
    struct rlimit limit;
    size_t threads = (size_t)device->target.threads, stack = STACK_BYTES;
    if (getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        stack = (size_t)limit.rlim_cur;
    return (threads + 3) * stack + (threads + 1) * OPENBLAS_BUFFER_BYTES + HEAP_BYTES;
}

static Status cpu_memory(Device *device, size_t *free_bytes, size_t *total_bytes) {
    HostMemory shared = host_memory(""), own = host_memory_own("");
    size_t sharers = (size_t)device->sharers;
    *total_bytes = shared.total_bytes / sharers;
    *free_bytes = less(shared.free_bytes / sharers, HEAP_BYTES);
    if (own.total_bytes == SIZE_MAX) return OK;
    own.free_bytes = less(own.free_bytes, mapped_later(device));
    if (own.total_bytes < *total_bytes) *total_bytes = own.total_bytes;
    if (own.free_bytes < *free_bytes) *free_bytes = own.free_bytes;
    return OK;
}

static Status cpu_fetch_start(Device *device, Fetch *fetch, const void *from) {
    return cpu_copy(device, fetch->data, from, fetch->bytes);
}

static Status cpu_fetch_finish(Device *device, Fetch *fetch) {
    (void)device;
    (void)fetch;
    return OK;
}

static Status node_replay(Device *device, const Node *node) {
    if (device->before_update != NULL && node_writes_state(node))
        device->before_update(device->before_update_self);
    if (device->progress != NULL) device->progress(device->progress_self, node_name(node));
    return node_run(node, NULL);
}

static Status cpu_replay(Device *device, const Program *p) {
    omp_set_num_threads(device->target.threads);
    for (int i = 0; i < p->n_nodes; i++) TRY(node_replay(device, p->nodes[i]));
    return OK;
}

static Status cpu_profile(Device *device, const Program *p, OpTime *times) {
    omp_set_num_threads(device->target.threads);
    double origin = clock_seconds(), start = origin;
    for (int i = 0; i < p->n_nodes; i++) {
        TRY(node_replay(device, p->nodes[i]));
        double end = clock_seconds();
        times[i] = (OpTime){p->nodes[i], start - origin, end - start};
        start = end;
    }
    return OK;
}

static Status cpu_synchronize(Device *device) {
    (void)device;
    return OK;
}

static void cpu_close(Device *device) { free(device); }

static const DeviceOps cpu_ops = {
    .alloc = cpu_alloc,
    .release = cpu_release,
    .memory = cpu_memory,
    .upload = cpu_copy,
    .download = cpu_copy,
    .host_alloc = cpu_alloc,
    .host_free = cpu_release,
    .copy_start = cpu_copy,
    .copy_wait = cpu_synchronize,
    .fetch_start = cpu_fetch_start,
    .fetch_finish = cpu_fetch_finish,
    .replay = cpu_replay,
    .profile = cpu_profile,
    .synchronize = cpu_synchronize,
    .close = cpu_close,
};

/* "model name" of the first processor, or "CPU". */
static void cpu_name(char *name, size_t bytes) {
    snprintf(name, bytes, "CPU");
    FILE *file = fopen("/proc/cpuinfo", "r");
    if (file == NULL) return;
    char line[256];
    while (fgets(line, sizeof line, file) != NULL) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || colon == NULL) continue;
        colon[strcspn(colon, "\n")] = '\0';
        snprintf(name, bytes, "%s", colon + 2);
        break;
    }
    fclose(file);
}

static int cores_here(void) {
    int cores = omp_get_num_procs(), allowed = host_cores("");
    return cores < allowed ? cores : allowed;
}

Status device_open_cpu(int threads, Device **out) {
    Device *device = calloc(1, sizeof *device);
    if (device == NULL) return OUT_OF_MEMORY("a device");
    device->ops = &cpu_ops;
    device->sharers = 1;
    device->target = (Target){.kind = DEVICE_CPU, .threads = threads > 0 ? threads : cores_here()};
    cpu_name(device->name, sizeof device->name);
    omp_set_num_threads(device->target.threads);
    *out = device;
    return OK;
}
