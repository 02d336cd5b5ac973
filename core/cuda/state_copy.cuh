/* The CUDA device's copies of the state to the host: core/device.h describes the functions of
 * DeviceOps. */
#pragma once

#include "core/cuda/cuda_device.cuh"

/* state_copies_close accepts a device that state_copies_open has not opened completely. */
Status state_copies_open(CudaDevice *d);
void state_copies_close(CudaDevice *d);

/* What is enqueued from now on waits for the copies; in a capture, for those that have begun when
 * the graph is launched. */
Status state_copies_await(CudaDevice *d);

Status cuda_host_alloc(Device *device, size_t bytes, void **out);
void cuda_host_free(Device *device, void *memory, size_t bytes);
Status cuda_copy_start(Device *device, void *to, const void *from, size_t bytes);
Status cuda_copy_wait(Device *device);
