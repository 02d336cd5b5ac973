/* Copies of the state to the host for checkpoints, on a stream of their own, so that the forward
 * and backward pass of the next step run meanwhile. The first op of a program that writes state
 * waits for them: in a graph by a node for an event that is recorded outside of it. The copies go
 * to pinned memory in pieces, because a copy of a result to the host must not wait for all of
 * them. */
#include "core/cuda/cuda_common.cuh"
#include "core/cuda/state_copy.cuh"

#include <cstdlib>

constexpr size_t PIECE_BYTES = 16 << 20;

/* The event is recorded at once, so that the first graphs find one to wait for. A host thread that
 * waits for it sleeps. */
Status state_copies_open(CudaDevice *d) {
    CUDA_TRY(cudaStreamCreateWithFlags(&d->copies, cudaStreamNonBlocking));
    CUDA_TRY(cudaEventCreateWithFlags(&d->copied, cudaEventDisableTiming | cudaEventBlockingSync));
    CUDA_TRY(cudaEventRecord(d->copied, d->copies));
    return Status{STATUS_OK};
}

void state_copies_close(CudaDevice *d) {
    if (d->copies != NULL) cudaStreamSynchronize(d->copies);
    if (d->copied != NULL) cudaEventDestroy(d->copied);
    if (d->copies != NULL) cudaStreamDestroy(d->copies);
}

Status state_copies_await(CudaDevice *d) {
    unsigned flags = d->capturing ? cudaEventWaitExternal : cudaEventWaitDefault;
    CUDA_TRY(cudaStreamWaitEvent(d->stream, d->copied, flags));
    return Status{STATUS_OK};
}

/* Pinning also touches the pages, so the first copy takes no longer than later ones. It takes 0.2
 * to 0.4 s per GB at the start of a run: an estimate, not measured. */
Status cuda_host_alloc(Device *device, size_t bytes, void **out) {
    CUDA_TRY(cudaSetDevice(((CudaDevice *)device)->index));
    if (cudaHostAlloc(out, bytes, cudaHostAllocDefault) == cudaSuccess) return Status{STATUS_OK};
    (void)cudaGetLastError();
    *out = malloc(bytes);
    return *out == NULL ? OUT_OF_MEMORY("a copy of the weights") : Status{STATUS_OK};
}

/* Fails if the device has failed. */
static cudaError_t pinned_find(const void *memory, bool *is_pinned) {
    cudaPointerAttributes attributes = {};
    cudaError_t error = cudaPointerGetAttributes(&attributes, memory);
    *is_pinned = attributes.type == cudaMemoryTypeHost;
    return error;
}

/* After a failure of the device the memory is left to the end of the process. */
void cuda_host_free(Device *device, void *memory, size_t bytes) {
    (void)bytes;
    bool is_pinned;
    cudaStreamSynchronize(((CudaDevice *)device)->copies);
    if (pinned_find(memory, &is_pinned) != cudaSuccess) return;
    if (is_pinned)
        cudaFreeHost(memory);
    else
        free(memory);
}

/* Waits for the replays first: a graph that has not passed its node for `copied` might otherwise
 * wait for the new record, which is behind that graph. A save has read the results of the last
 * step, so hardly anything is left to wait for. */
Status cuda_copy_start(Device *device, void *to, const void *from, size_t bytes) {
    CudaDevice *d = (CudaDevice *)device;
    bool is_pinned;
    CUDA_TRY(pinned_find(to, &is_pinned));
    if (!is_pinned) return device->ops->download(device, to, from, bytes);
    CUDA_TRY(cudaStreamSynchronize(d->stream));
    for (size_t done = 0; done < bytes; done += PIECE_BYTES) {
        size_t part = bytes - done < PIECE_BYTES ? bytes - done : PIECE_BYTES;
        CUDA_TRY(cudaMemcpyAsync((char *)to + done, (const char *)from + done, part,
                                 cudaMemcpyDeviceToHost, d->copies));
    }
    CUDA_TRY(cudaEventRecord(d->copied, d->copies));
    return Status{STATUS_OK};
}

/* Another thread would otherwise make a context on GPU 0. */
Status cuda_copy_wait(Device *device) {
    CudaDevice *d = (CudaDevice *)device;
    CUDA_TRY(cudaSetDevice(d->index));
    CUDA_TRY(cudaEventSynchronize(d->copied));
    return Status{STATUS_OK};
}
