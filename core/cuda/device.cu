/* The GPU as a device. The first replay of a program captures it as one CUDA graph; every replay
 * launches that graph and never waits for the host. Copies from the host go through pinned slots in
 * stream order, so the host can prepare a step while the previous one runs. */
#include "core/cuda/cublaslt.h"
#include "core/cuda/cuda_common.cuh"
#include "core/cuda/cuda_device.cuh"
#include "core/cuda/matmul.cuh"
#include "core/cuda/open.h"
#include "core/cuda/state_copy.cuh"
#include "core/perf/peak.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

static CudaDevice *current;

CudaDevice *cuda_device_current(void) { return current; }

static CudaDevice *of(Device *device) { return (CudaDevice *)device; }

static Status cuda_alloc(Device *device, size_t bytes, void **out) {
    CUDA_TRY(cudaSetDevice(of(device)->index));
    CUDA_TRY(cudaMalloc(out, bytes));
    cudaError_t error = cudaMemsetAsync(*out, 0, bytes, of(device)->stream);
    if (error == cudaSuccess) error = cudaStreamSynchronize(of(device)->stream);
    if (error == cudaSuccess) return Status{STATUS_OK};
    cudaFree(*out);
    return ERROR(STATUS_FAILURE, "CUDA: clearing memory: %s", cudaGetErrorString(error));
}

static void cuda_release(Device *device, void *memory, size_t bytes) {
    (void)bytes;
    cudaStreamSynchronize(of(device)->stream);
    cudaFree(memory);
}

static Status cuda_memory(Device *device, size_t *free_bytes, size_t *total_bytes) {
    CUDA_TRY(cudaSetDevice(of(device)->index));
    CUDA_TRY(cudaMemGetInfo(free_bytes, total_bytes));
    return Status{STATUS_OK};
}

static char *staging_slot(CudaDevice *d, int slot) {
    return d->staging + (size_t)slot * STAGING_BYTES;
}

static char *fetch_slot(CudaDevice *d, int slot) {
    return d->staging + STAGING_SLOTS * STAGING_BYTES + (size_t)slot * DEVICE_FETCH_BYTES;
}

static Status cuda_upload(Device *device, void *to, const void *from, size_t bytes) {
    CudaDevice *d = of(device);
    for (size_t done = 0; done < bytes;) {
        size_t part = bytes - done < STAGING_BYTES ? bytes - done : STAGING_BYTES;
        int slot = d->next_staging;
        d->next_staging = (slot + 1) % STAGING_SLOTS;
        CUDA_TRY(cudaEventSynchronize(d->staged[slot])); /* the slot is free again */
        memcpy(staging_slot(d, slot), (const char *)from + done, part);
        CUDA_TRY(cudaMemcpyAsync((char *)to + done, staging_slot(d, slot), part,
                                 cudaMemcpyHostToDevice, d->stream));
        CUDA_TRY(cudaEventRecord(d->staged[slot], d->stream));
        done += part;
    }
    return Status{STATUS_OK};
}

/* Two slots alternate: one is filled while the other is read. */
static Status cuda_download(Device *device, void *to, const void *from, size_t bytes) {
    CudaDevice *d = of(device);
    size_t parts = (bytes + STAGING_BYTES - 1) / STAGING_BYTES;
    for (int slot = 0; slot < 2; slot++) CUDA_TRY(cudaEventSynchronize(d->staged[slot]));
    for (size_t i = 0; i < parts + 1; i++) {
        int slot = (int)(i % 2);
        size_t at = i * STAGING_BYTES;
        if (i < parts) {
            size_t part = bytes - at < STAGING_BYTES ? bytes - at : STAGING_BYTES;
            CUDA_TRY(cudaMemcpyAsync(staging_slot(d, slot), (const char *)from + at, part,
                                     cudaMemcpyDeviceToHost, d->stream));
            CUDA_TRY(cudaEventRecord(d->staged[slot], d->stream));
        }
        if (i == 0) continue;
        size_t part = bytes - (at - STAGING_BYTES) < STAGING_BYTES ? bytes - (at - STAGING_BYTES)
                                                                   : STAGING_BYTES;
        CUDA_TRY(cudaEventSynchronize(d->staged[1 - slot]));
        memcpy((char *)to + at - STAGING_BYTES, staging_slot(d, 1 - slot), part);
    }
    return Status{STATUS_OK};
}

static Status cuda_fetch_start(Device *device, Fetch *fetch, const void *from) {
    CudaDevice *d = of(device);
    fetch->slot = d->next_fetch;
    d->next_fetch = (fetch->slot + 1) % FETCH_SLOTS;
    CUDA_TRY(cudaMemcpyAsync(fetch_slot(d, fetch->slot), from, fetch->bytes, cudaMemcpyDeviceToHost,
                             d->stream));
    CUDA_TRY(cudaEventRecord(d->fetched[fetch->slot], d->stream));
    return Status{STATUS_OK};
}

static Status cuda_fetch_finish(Device *device, Fetch *fetch) {
    CudaDevice *d = of(device);
    CUDA_TRY(cudaEventSynchronize(d->fetched[fetch->slot]));
    memcpy(fetch->data, fetch_slot(d, fetch->slot), fetch->bytes);
    return Status{STATUS_OK};
}

/* The order of the stream makes all ops after one that has waited for the copies wait too. */
static Status node_enqueue(CudaDevice *d, const Node *node, bool *has_waited) {
    if (!*has_waited && node_writes_state(node)) {
        TRY(state_copies_await(d));
        *has_waited = true;
    }
    return node_run(node, d->stream);
}

static Status nodes_enqueue(CudaDevice *d, const Program *p) {
    bool has_waited = false;
    for (int i = 0; i < p->n_nodes; i++) TRY(node_enqueue(d, p->nodes[i], &has_waited));
    return Status{STATUS_OK};
}

/* Relaxed: the first use of a kernel may load its code in the middle of the capture. */
static Status graph_capture(CudaDevice *d, const Program *p, cudaGraph_t *graph) {
    *graph = NULL;
    CUDA_TRY(cudaStreamBeginCapture(d->stream, cudaStreamCaptureModeRelaxed));
    d->capturing = true;
    Status status = nodes_enqueue(d, p);
    d->capturing = false;
    cudaError_t error = cudaStreamEndCapture(d->stream, graph);
    if (failed(status)) return status;
    if (error == cudaSuccess) return status;
    return ERROR(STATUS_FAILURE, "CUDA: capturing the step: %s", cudaGetErrorString(error));
}

static void graph_destroy(void *data) { cudaGraphExecDestroy((cudaGraphExec_t)data); }

static Status graph_create(CudaDevice *d, const Program *p) {
    cudaGraph_t graph;
    Status status = graph_capture(d, p, &graph);
    if (!failed(status) &&
        d->n_unplanned > 0) { /* products of new shapes: plan them, then capture again */
        cudaGraphDestroy(graph);
        TRY(matmul_plans_complete(d));
        status = graph_capture(d, p, &graph);
    }
    cudaGraphExec_t executable = NULL;
    if (!failed(status)) {
        cudaError_t error = cudaGraphInstantiate(&executable, graph, 0);
        if (error != cudaSuccess) {
            status = ERROR(STATUS_FAILURE, "CUDA: instantiating the step's graph: %s",
                           cudaGetErrorString(error));
        }
    }
    if (graph != NULL) cudaGraphDestroy(graph);
    if (!failed(status)) *p->executable = Executable{executable, graph_destroy};
    return status;
}

static Status cuda_replay(Device *device, const Program *p) {
    CudaDevice *d = current = of(device);
    if (device->progress != NULL) device->progress(device->progress_self, "replay");
    if (p->executable->data == NULL) {
        CUDA_TRY(cudaSetDevice(d->index));
        TRY(graph_create(d, p));
    }
    CUDA_TRY(cudaGraphLaunch((cudaGraphExec_t)p->executable->data, d->stream));
    return Status{STATUS_OK};
}

static Status profile_events(CudaDevice *d, const Program *p, cudaEvent_t *events, OpTime *times) {
    bool has_waited = false;
    for (int i = 0; i <= p->n_nodes; i++) CUDA_TRY(cudaEventCreate(&events[i]));
    CUDA_TRY(cudaEventRecord(events[0], d->stream));
    for (int i = 0; i < p->n_nodes; i++) {
        TRY(node_enqueue(d, p->nodes[i], &has_waited));
        CUDA_TRY(cudaEventRecord(events[i + 1], d->stream));
    }
    CUDA_TRY(cudaStreamSynchronize(d->stream));
    for (int i = 0; i < p->n_nodes; i++) {
        float start, duration;
        CUDA_TRY(cudaEventElapsedTime(&start, events[0], events[i]));
        CUDA_TRY(cudaEventElapsedTime(&duration, events[i], events[i + 1]));
        times[i] = OpTime{p->nodes[i], start * 1e-3, duration * 1e-3};
    }
    return Status{STATUS_OK};
}

static Status cuda_profile(Device *device, const Program *p, OpTime *times) {
    CudaDevice *d = current = of(device);
    CUDA_TRY(cudaSetDevice(d->index));
    cudaEvent_t *events = (cudaEvent_t *)calloc((size_t)p->n_nodes + 1, sizeof *events);
    if (events == NULL) return OUT_OF_MEMORY("a profile");
    Status status = profile_events(d, p, events, times);
    for (int i = 0; i <= p->n_nodes; i++) {
        if (events[i] != NULL) cudaEventDestroy(events[i]);
    }
    free(events);
    return status;
}

static Status cuda_synchronize(Device *device) {
    CUDA_TRY(cudaStreamSynchronize(of(device)->stream));
    return Status{STATUS_OK};
}

static void cuda_close(Device *device) {
    CudaDevice *d = of(device);
    if (d->stream != NULL) cudaStreamSynchronize(d->stream);
    state_copies_close(d);
    matmul_plans_destroy(d);
    for (int i = 0; i < STAGING_SLOTS; i++) {
        if (d->staged[i] != NULL) cudaEventDestroy(d->staged[i]);
    }
    for (int i = 0; i < FETCH_SLOTS; i++) {
        if (d->fetched[i] != NULL) cudaEventDestroy(d->fetched[i]);
    }
    cudaFreeHost(d->staging);
    cudaFree(d->blas_workspace);
    if (d->blas != NULL) cublasLtDestroy(d->blas);
    if (d->forked != NULL) cudaEventDestroy(d->forked);
    if (d->joined != NULL) cudaEventDestroy(d->joined);
    if (d->beside != NULL) cudaStreamDestroy(d->beside);
    if (d->stream != NULL) cudaStreamDestroy(d->stream);
    if (current == d) current = NULL;
    free(d);
}

static const DeviceOps cuda_ops = {
    .alloc = cuda_alloc,
    .release = cuda_release,
    .memory = cuda_memory,
    .upload = cuda_upload,
    .download = cuda_download,
    .host_alloc = cuda_host_alloc,
    .host_free = cuda_host_free,
    .copy_start = cuda_copy_start,
    .copy_wait = cuda_copy_wait,
    .fetch_start = cuda_fetch_start,
    .fetch_finish = cuda_fetch_finish,
    .replay = cuda_replay,
    .profile = cuda_profile,
    .synchronize = cuda_synchronize,
    .close = cuda_close,
};

/* Counts the GPUs. Errors: the reason why none is usable, with advice. */
static Status count_devices(int *count) {
    *count = 0;
    int driver = 0, runtime = 0;
    cudaError_t error = cudaGetDeviceCount(count);
    if (error == cudaSuccess && *count > 0) return Status{STATUS_OK};
    (void)cudaGetLastError();
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    if (driver == 0)
        return ERROR(STATUS_CONFIG, "no NVIDIA driver on this machine; set device: cpu");
    if (error == cudaErrorInsufficientDriver || driver < runtime / 1000 * 1000) {
        return ERROR(STATUS_CONFIG,
                     "the NVIDIA driver supports CUDA %d.%d, this program was built for %d.%d; "
                     "update the driver, or "
                     "build with an older toolkit",
                     driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
    }
    return ERROR(STATUS_CONFIG,
                 "no GPU is visible (%s); check CUDA_VISIBLE_DEVICES, or set device: cpu",
                 error == cudaSuccess ? "the driver reports none" : cudaGetErrorString(error));
}

extern "C" int cuda_count(void) {
    int count;
    return failed(count_devices(&count)) ? 0 : count;
}

static Status target_of(int index, Device *device) {
    cudaDeviceProp properties;
    CUDA_TRY(cudaGetDeviceProperties(&properties, index));
    device->target.kind = DEVICE_CUDA;
    device->target.sm = properties.major * 10 + properties.minor;
    device->target.n_sms = properties.multiProcessorCount;
    snprintf(device->name, sizeof device->name, "%.127s", properties.name);
    CUDA_TRY(cudaDeviceGetPCIBusId(device->location, (int)sizeof device->location, index));
    Peak peak = peak_find(device->name);
    device->peak_flops = peak.half, device->peak_flops_f32 = peak.single,
    device->peak_bytes = peak.bytes;
    if (device->target.sm >= 75) return Status{STATUS_OK};
    return ERROR(
        STATUS_CONFIG,
        "%s has compute capability %d.%d, but 7.5 is required; set device: cpu, or use another GPU",
        device->name, properties.major, properties.minor);
}

/* The memory in use now consists of this process's context and workspace, and of other processes'
 * memory. If it is far more than a context, a context of the usual size is attributed to this
 * process and the rest to others. */
static Status memory_account(CudaDevice *d) {
    Device *device = &d->base;
    size_t free_bytes, total_bytes;
    CUDA_TRY(cudaMemGetInfo(&free_bytes, &total_bytes));
    size_t used = total_bytes - free_bytes - MATMUL_WORKSPACE, usual = CUDA_CONTEXT_BYTES;
    if (used > 2 * usual) {
        device->others_bytes = used - usual;
        used = usual;
    }
    device->workspace_bytes = MATMUL_WORKSPACE;
    device->coming_bytes = CUDA_COMING_BYTES;
    device->context_bytes = used + CUDA_COMING_BYTES;
    return Status{STATUS_OK};
}

static Status resources_create(CudaDevice *d) {
    CUDA_TRY(cudaStreamCreateWithFlags(&d->stream, cudaStreamNonBlocking));
    CUDA_TRY(cudaStreamCreateWithFlags(&d->beside, cudaStreamNonBlocking));
    CUDA_TRY(cudaEventCreateWithFlags(&d->forked, cudaEventDisableTiming));
    CUDA_TRY(cudaEventCreateWithFlags(&d->joined, cudaEventDisableTiming));
    TRY(state_copies_open(d));
    TRY(cublaslt_load());
    if (cublasLtCreate(&d->blas) != CUBLAS_STATUS_SUCCESS)
        return ERROR(STATUS_FAILURE, "cannot initialize cuBLASLt");
    if (cudaMalloc(&d->blas_workspace, MATMUL_WORKSPACE) == cudaErrorMemoryAllocation) {
        (void)cudaGetLastError();
        return ERROR(STATUS_OUT_OF_MEMORY,
                     "%s has less than %d MiB of free memory; stop other processes on it, "
                     "or select another GPU with "
                     "CUDA_VISIBLE_DEVICES",
                     d->base.name, (int)(MATMUL_WORKSPACE >> 20));
    }
    CUDA_TRY(cudaMallocHost(&d->staging, STAGING_SLOTS * STAGING_BYTES +
                                             (size_t)FETCH_SLOTS * DEVICE_FETCH_BYTES));
    for (int i = 0; i < STAGING_SLOTS; i++) {
        CUDA_TRY(cudaEventCreateWithFlags(&d->staged[i], cudaEventDisableTiming));
    }
    for (int i = 0; i < FETCH_SLOTS; i++) {
        CUDA_TRY(cudaEventCreateWithFlags(&d->fetched[i], cudaEventDisableTiming));
    }
    return memory_account(d);
}

static __global__ void probe(void) {}

/* A build for a different architecture would fail at its first launch. */
static Status code_check(const Device *device) {
    cudaFuncAttributes attributes;
    cudaError_t error = cudaFuncGetAttributes(&attributes, probe);
    if (error == cudaSuccess) return Status{STATUS_OK};
    (void)cudaGetLastError();
    return ERROR(STATUS_CONFIG,
                 "this program contains no code for %s (%s); build it with scons cuda_arch=%d",
                 device->name, cudaGetErrorString(error), device->target.sm);
}

static Status device_start(CudaDevice *d, int index) {
    int count;
    TRY(count_devices(&count));
    if (index < 0 || index >= count) {
        return ERROR(STATUS_CONFIG,
                     "GPU %d was requested, but this process sees %d; check CUDA_VISIBLE_DEVICES",
                     index, count);
    }
    TRY(target_of(index, &d->base));
    CUDA_TRY(cudaSetDevice(index));
    TRY(code_check(&d->base));
    return resources_create(d);
}

extern "C" Status cuda_open(int index, Device **out) {
    *out = NULL;
    CudaDevice *d = (CudaDevice *)calloc(1, sizeof *d);
    if (d == NULL) return OUT_OF_MEMORY("a device");
    d->base.ops = &cuda_ops;
    d->base.autotune = true;
    d->index = index;
    Status status = device_start(d, index);
    if (failed(status)) {
        cuda_close(&d->base);
        return status;
    }
    current = d;
    *out = &d->base;
    return status;
}
