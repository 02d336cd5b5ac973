#include "dist/gpu_internal.h"

#include <stdlib.h>

Status gpu_check(cudaError_t error, const char *what) {
    if (error == cudaSuccess) return OK;
    return ERROR(STATUS_FAILURE, "%s: %s", what, cudaGetErrorString(error));
}

static Status start(GpuCollectives *c, EnqueueFn enqueue, void *data, int64_t count, DType dtype,
                    const char *label, void *stream) {
    TRY(gpu_check(cudaEventRecord(c->ready, stream), label));
    TRY(gpu_check(cudaStreamWaitEvent(c->stream, c->ready, 0), label));
    TRY(enqueue(c, data, count, dtype, label));
    c->in_group++;
    return gpu_check(cudaEventRecord(c->done[c->started++ % GPU_IN_FLIGHT], c->stream), label);
}

static Status sums_check(DType dtype, const char *label) {
    if (dtype == DTYPE_F32 || dtype == DTYPE_F64) return OK;
    return ERROR(STATUS_UNSUPPORTED, "%s: GPU collectives can sum f32 and f64, not %s", label,
                 dtype_name(dtype));
}

static Status all_reduce_start(void *self, void *data, int64_t count, DType dtype,
                               const char *label, void *stream) {
    GpuCollectives *c = self;
    TRY(sums_check(dtype, label));
    return start(c, c->all_reduce, data, count, dtype, label, stream);
}

static Status parts_check(const GpuCollectives *c, int64_t count, const char *label) {
    if (count % c->world->size == 0) return OK;
    return ERROR(STATUS_FAILURE, "%s: %lld elements do not divide into equal parts for %d ranks",
                 label, (long long)count, c->world->size);
}

static Status reduce_scatter_start(void *self, void *data, int64_t count, DType dtype,
                                   const char *label, void *stream) {
    GpuCollectives *c = self;
    TRY(sums_check(dtype, label));
    TRY(parts_check(c, count, label));
    return start(c, c->reduce_scatter, data, count, dtype, label, stream);
}

static Status all_gather_start(void *self, void *data, int64_t count, DType dtype,
                               const char *label, void *stream) {
    GpuCollectives *c = self;
    TRY(parts_check(c, count, label));
    return start(c, c->all_gather, data, count, dtype, label, stream);
}

/* Collectives run in stream order: to wait for one is to wait for all earlier ones. */
static Status wait_for(void *self, int left, void *stream) {
    GpuCollectives *c = self;
    int64_t last = c->started - 1 - left;
    if (left >= GPU_IN_FLIGHT)
        return ERROR(STATUS_UNSUPPORTED, "waiting for all but %d collectives", left);
    if (left == 0) c->in_group = 0;
    if (last < 0) return OK;
    return gpu_check(cudaStreamWaitEvent(stream, c->done[last % GPU_IN_FLIGHT], 0),
                     "waiting for the collectives");
}

/* Called before each replay. It cannot return a failure and must not ignore one, so it ends all
 * ranks. */
static void progress(void *self, const char *activity) {
    GpuCollectives *c = self;
    watchdog_progress(c->watchdog, activity);
    Status status = c->check(c);
    if (failed(status)) world_abort(c->world, status);
}

Collectives gpu_collectives_table(GpuCollectives *c) {
    return (Collectives){
        .self = c,
        .rank = c->world->rank,
        .size = c->world->size,
        .all_reduce_start = all_reduce_start,
        .reduce_scatter_start = reduce_scatter_start,
        .all_gather_start = all_gather_start,
        .wait = wait_for,
        .progress = progress,
    };
}

const char *gpu_collectives_note(const GpuCollectives *c) { return c->note; }

Status gpu_collectives_open(World *world, Watchdog *watchdog, GpuCollectives **out) {
    GpuCollectives *c = calloc(1, sizeof *c);
    if (c == NULL) return OUT_OF_MEMORY("the collectives");
    c->world = world;
    c->watchdog = watchdog;
    *out = c;
    /* No priority over the model's stream: the additions use the multiprocessors that the last wave
     * of a matrix product leaves idle. */
    TRY(gpu_check(cudaStreamCreateWithFlags(&c->stream, cudaStreamNonBlocking),
                  "creating the stream of the collectives"));
    for (int i = 0; i < GPU_IN_FLIGHT; i++) {
        TRY(gpu_check(cudaEventCreateWithFlags(&c->done[i], cudaEventDisableTiming),
                      "creating an event"));
    }
    return gpu_check(cudaEventCreateWithFlags(&c->ready, cudaEventDisableTiming),
                     "creating an event");
}

void gpu_collectives_release(GpuCollectives *c) {
    if (c == NULL || c->release == NULL) return;
    cudaDeviceSynchronize();
    c->release(c);
}

void gpu_collectives_destroy(GpuCollectives **collectives) {
    GpuCollectives *c = collectives == NULL ? NULL : *collectives;
    if (c == NULL) return;
    if (c->stream != NULL) cudaStreamSynchronize(c->stream);
    if (c->close != NULL) c->close(c);
    if (c->ready != NULL) cudaEventDestroy(c->ready);
    for (int i = 0; i < GPU_IN_FLIGHT; i++) {
        if (c->done[i] != NULL) cudaEventDestroy(c->done[i]);
    }
    if (c->stream != NULL) cudaStreamDestroy(c->stream);
    free(c);
    *collectives = NULL;
}
