/* A device on paper: a machine that is not here, for planning. It has a target and an amount of
 * memory, and no more. */
#include "core/cuda/memory.h"
#include "core/device.h"
#include "core/perf/peak.h"

#include <stdio.h>
#include <stdlib.h>

static Status on_paper(const Device *device) {
    return ERROR(STATUS_CONFIG, "%s is not here: it can be planned for, not run on", device->name);
}

static Status paper_alloc(Device *device, size_t bytes, void **out) {
    (void)bytes;
    *out = NULL;
    return on_paper(device);
}

static void paper_release(Device *device, void *memory, size_t bytes) {
    (void)device, (void)memory, (void)bytes;
}

static Status paper_memory(Device *device, size_t *free_bytes, size_t *total_bytes) {
    *free_bytes = *total_bytes = device->paper_bytes;
    return OK;
}

static Status paper_copy(Device *device, void *to, const void *from, size_t bytes) {
    (void)to, (void)from, (void)bytes;
    return on_paper(device);
}

static Status paper_fetch_start(Device *device, Fetch *fetch, const void *from) {
    (void)fetch, (void)from;
    return on_paper(device);
}

static Status paper_fetch_finish(Device *device, Fetch *fetch) {
    (void)fetch;
    return on_paper(device);
}

static Status paper_replay(Device *device, const Program *p) {
    (void)p;
    return on_paper(device);
}

static Status paper_profile(Device *device, const Program *p, OpTime *times) {
    (void)p, (void)times;
    return on_paper(device);
}

static Status paper_synchronize(Device *device) { return on_paper(device); }

static void paper_close(Device *device) { free(device); }

static const DeviceOps paper_ops = {
    .alloc = paper_alloc,
    .release = paper_release,
    .memory = paper_memory,
    .upload = paper_copy,
    .download = paper_copy,
    .fetch_start = paper_fetch_start,
    .fetch_finish = paper_fetch_finish,
    .replay = paper_replay,
    .profile = paper_profile,
    .synchronize = paper_synchronize,
    .close = paper_close,
};

Status device_open_paper(Target target, size_t bytes, Device **out) {
    Device *device = calloc(1, sizeof *device);
    if (device == NULL) return ERROR(STATUS_NO_ROOM, "out of memory for a device");
    device->ops = &paper_ops;
    device->target = target;
    device->paper_bytes = bytes;
    device->context_bytes = CUDA_CONTEXT_BYTES + CUDA_COMING_BYTES;
    device->coming_bytes = CUDA_COMING_BYTES;
    device->workspace_bytes = CUDA_WORKSPACE_BYTES;
    Peak peak = peak_find(peak_model(target.sm, (double)bytes));
    device->peak_flops = peak.half, device->peak_flops_f32 = peak.single,
    device->peak_bytes = peak.bytes;
    snprintf(device->name, sizeof device->name, "a GPU on paper, sm_%d with %.0f GiB", target.sm,
             (double)bytes / 0x1p30);
    *out = device;
    return OK;
}
