/* A planning device: a GPU that is not present. It has only a target and a memory size. */
#include "core/cuda/memory.h"
#include "core/device.h"
#include "core/perf/peak.h"

#include <stdio.h>
#include <stdlib.h>

static Status not_here(const Device *device) {
    return ERROR(STATUS_CONFIG, "%s is not present: it can only plan programs", device->name);
}

static Status planning_alloc(Device *device, size_t bytes, void **out) {
    (void)bytes;
    *out = NULL;
    return not_here(device);
}

static void planning_release(Device *device, void *memory, size_t bytes) {
    (void)device, (void)memory, (void)bytes;
}

static Status planning_memory(Device *device, size_t *free_bytes, size_t *total_bytes) {
    *free_bytes = *total_bytes = device->planning_bytes;
    return OK;
}

static Status planning_copy(Device *device, void *to, const void *from, size_t bytes) {
    (void)to, (void)from, (void)bytes;
    return not_here(device);
}

static Status planning_fetch_start(Device *device, Fetch *fetch, const void *from) {
    (void)fetch, (void)from;
    return not_here(device);
}

static Status planning_fetch_finish(Device *device, Fetch *fetch) {
    (void)fetch;
    return not_here(device);
}

static Status planning_replay(Device *device, const Program *p) {
    (void)p;
    return not_here(device);
}

static Status planning_profile(Device *device, const Program *p, OpTime *times) {
    (void)p, (void)times;
    return not_here(device);
}

static Status planning_synchronize(Device *device) { return not_here(device); }

static void planning_close(Device *device) { free(device); }

static const DeviceOps planning_ops = {
    .alloc = planning_alloc,
    .release = planning_release,
    .memory = planning_memory,
    .upload = planning_copy,
    .download = planning_copy,
    .host_alloc = planning_alloc,
    .host_free = planning_release,
    .copy_start = planning_copy,
    .copy_wait = planning_synchronize,
    .fetch_start = planning_fetch_start,
    .fetch_finish = planning_fetch_finish,
    .replay = planning_replay,
    .profile = planning_profile,
    .synchronize = planning_synchronize,
    .close = planning_close,
};

Status device_open_planning(Target target, size_t bytes, Device **out) {
    Device *device = calloc(1, sizeof *device);
    if (device == NULL) return OUT_OF_MEMORY("a device");
    device->ops = &planning_ops;
    device->target = target;
    device->planning_bytes = bytes;
    device->context_bytes = CUDA_CONTEXT_BYTES + CUDA_COMING_BYTES;
    device->coming_bytes = CUDA_COMING_BYTES;
    device->workspace_bytes = CUDA_WORKSPACE_BYTES;
    Peak peak = peak_find(peak_model(target.sm, (double)bytes));
    device->peak_flops = peak.half, device->peak_flops_f32 = peak.single,
    device->peak_bytes = peak.bytes;
    snprintf(device->name, sizeof device->name, "planning device sm_%d, %.0f GiB", target.sm,
             (double)bytes / 0x1p30);
    *out = device;
    return OK;
}
