#include "core/device.h"

#include "core/cuda/open.h"

#include <string.h>

/* HOURGLASS_CUDA_OPTIMIZED: defined by the build, for this file. */
Status device_open_cuda(int index, Device **out) {
    static Status (*const open)(int, Device **) = CUDA_RUN(cuda_open);
    *out = NULL;
    if (open == NULL) return cuda_missing();
    if (!HOURGLASS_CUDA_OPTIMIZED && device_count_cuda() > 0) {
        return ERROR(STATUS_CONFIG, "this program was built with cuda_optimize=no, as ./check does "
                                    "without a GPU; build it again with scons");
    }
    return open(index, out);
}

int device_count_cuda(void) {
    static int (*const count)(void) = CUDA_RUN(cuda_count);
    return count == NULL ? 0 : count();
}

Status device_alloc(Device *device, size_t bytes, const char *what, void **out) {
    *out = NULL;
    if (bytes == 0) return OK;
    Status status = device->ops->alloc(device, bytes, out);
    if (failed(status)) {
        return ERROR(
            status.code,
            "%s: not enough memory for %.1f MiB of %s; reduce data.batch_size or the model",
            device->name, (double)bytes / 0x1p20, what);
    }
    device->allocated_bytes += bytes;
    return OK;
}

void device_free(Device *device, void *memory, size_t bytes) {
    if (memory == NULL) return;
    device->ops->release(device, memory, bytes);
    device->allocated_bytes -= bytes;
}

void device_close(Device **device) {
    if (device == NULL || *device == NULL) return;
    (*device)->ops->close(*device);
    *device = NULL;
}

Status device_upload(Device *device, const Tensor *to, const void *from) {
    if (tensor_is_state(to)) TRY(device_copy_wait(device));
    return device->ops->upload(device, tensor_data(to), from, tensor_bytes(to));
}

Status device_download(Device *device, void *to, const Tensor *from) {
    return device->ops->download(device, to, tensor_data(from), tensor_bytes(from));
}

Status device_host_alloc(Device *device, size_t bytes, void **out) {
    *out = NULL;
    if (bytes == 0) return OK;
    return device->ops->host_alloc(device, bytes, out);
}

void device_host_free(Device *device, void *memory, size_t bytes) {
    if (memory != NULL) device->ops->host_free(device, memory, bytes);
}

Status device_copy_start(Device *device, void *to, const Tensor *from) {
    return device->ops->copy_start(device, to, tensor_data(from), tensor_bytes(from));
}

Status device_copy_wait(Device *device) { return device->ops->copy_wait(device); }

Status device_memory(Device *device, size_t *free_bytes, size_t *total_bytes) {
    return device->ops->memory(device, free_bytes, total_bytes);
}

Status device_fetch_start(Device *device, Fetch *fetch, const Tensor *from) {
    fetch->bytes = tensor_bytes(from);
    if (fetch->bytes > sizeof fetch->data)
        return ERROR(STATUS_FAILURE, "cannot fetch %zu bytes at once", fetch->bytes);
    return device->ops->fetch_start(device, fetch, tensor_data(from));
}

Status device_fetch_finish(Device *device, Fetch *fetch, void *to) {
    TRY(device->ops->fetch_finish(device, fetch));
    memcpy(to, fetch->data, fetch->bytes);
    return OK;
}

Status device_replay(Device *device, const Program *p) { return device->ops->replay(device, p); }

Status device_profile(Device *device, const Program *p, OpTime *times) {
    return device->ops->profile(device, p, times);
}

Status device_synchronize(Device *device) { return device->ops->synchronize(device); }
