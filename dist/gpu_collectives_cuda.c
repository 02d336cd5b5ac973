#include "dist/gpu_internal.h"

#include <stdlib.h>

Status gpu_check(cudaError_t error, const char *what) {
    if (error == cudaSuccess) return OK;
    return ERROR(STATUS_FAILURE, "%s: %s", what, cudaGetErrorString(error));
}

static Status all_reduce_start(void *self, void *data, int64_t count, DType dtype, const char *label, void *stream) {
    GpuCollectives *c = self;
    if (dtype != DTYPE_F32) return ERROR(STATUS_UNSUPPORTED, "%s: sums f32, not %s", label, dtype_name(dtype));
    TRY(gpu_check(cudaEventRecord(c->ready, stream), label));
    TRY(gpu_check(cudaStreamWaitEvent(c->stream, c->ready, 0), label));
    return c->reduce(c, data, count, label);
}

static Status wait_all(void *self, void *stream) {
    GpuCollectives *c = self;
    TRY(gpu_check(cudaEventRecord(c->done, c->stream), "joining the reductions"));
    return gpu_check(cudaStreamWaitEvent(stream, c->done, 0), "joining the reductions");
}

/* Called before each replay; a failure here cannot be returned, and must not be passed over: all ranks end. */
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
        .wait = wait_all,
        .progress = progress,
    };
}

Status gpu_collectives_open(World *world, Watchdog *watchdog, GpuCollectives **out) {
    GpuCollectives *c = calloc(1, sizeof *c);
    if (c == NULL) return ERROR(STATUS_FAILURE, "out of memory for the collectives");
    c->world = world;
    c->watchdog = watchdog;
    *out = c;
    TRY(gpu_check(cudaStreamCreateWithFlags(&c->stream, cudaStreamNonBlocking), "making the reductions' stream"));
    TRY(gpu_check(cudaEventCreateWithFlags(&c->ready, cudaEventDisableTiming), "making an event"));
    return gpu_check(cudaEventCreateWithFlags(&c->done, cudaEventDisableTiming), "making an event");
}

void gpu_collectives_destroy(GpuCollectives **collectives) {
    GpuCollectives *c = collectives == NULL ? NULL : *collectives;
    if (c == NULL) return;
    if (c->stream != NULL) cudaStreamSynchronize(c->stream);
    if (c->close != NULL) c->close(c);
    if (c->ready != NULL) cudaEventDestroy(c->ready);
    if (c->done != NULL) cudaEventDestroy(c->done);
    if (c->stream != NULL) cudaStreamDestroy(c->stream);
    free(c);
    *collectives = NULL;
}
