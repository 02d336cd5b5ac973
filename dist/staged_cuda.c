/* Collectives through host memory, for ranks that share a GPU. Each chunk is copied to pinned
 * memory, summed by MPI in a host function of the stream, and copied back. Slow; useful for testing
 * data parallelism on one GPU. */
#include "dist/gpu_internal.h"

#include <stdio.h>
#include <stdlib.h>

/* One chunk of a collective, the argument of a host function. It lives as long as the graph that
 * captured the host function. */
typedef struct StagedChunk {
    struct Staged *owner;
    int64_t count; /* elements to sum, or bytes of a part to gather */
    DType dtype;
    char label[64];
    struct StagedChunk *next;
} StagedChunk;

typedef struct Staged {
    Channel channel;
    char *pinned; /* TREE_CHUNK_BYTES */
    void *scratch;
    StagedChunk *chunks;
    volatile int failures; /* of host functions, which cannot return a failure */
    char message[512];
} Staged;

static void note(Staged *s, Status status) {
    if (!failed(status)) return;
    snprintf(s->message, sizeof s->message, "%s", status_message());
    s->failures = 1;
}

static void sum_chunk(void *argument) {
    StagedChunk *chunk = argument;
    Staged *s = chunk->owner;
    if (s->failures > 0) return;
    s->channel.label = chunk->label;
    note(s, channel_sum(&s->channel, s->pinned, chunk->count, chunk->dtype, s->scratch));
}

static void gather_chunk(void *argument) {
    StagedChunk *chunk = argument;
    Staged *s = chunk->owner;
    if (s->failures > 0) return;
    s->channel.label = chunk->label;
    note(s, channel_gather_parts(&s->channel, s->pinned, (size_t)chunk->count));
}

static Status chunk_add(Staged *s, int64_t count, DType dtype, const char *label,
                        StagedChunk **out) {
    StagedChunk *chunk = calloc(1, sizeof *chunk);
    if (chunk == NULL) return OUT_OF_MEMORY("a reduction");
    *chunk = (StagedChunk){.owner = s, .count = count, .dtype = dtype, .next = s->chunks};
    snprintf(chunk->label, sizeof chunk->label, "%s", label);
    s->chunks = *out = chunk;
    return OK;
}

static Status all_reduce(GpuCollectives *c, void *data, int64_t count, DType dtype,
                         const char *label) {
    Staged *s = c->kind;
    const int64_t most = TREE_CHUNK_BYTES / (int64_t)dtype_size(dtype);
    for (int64_t first = 0; first < count; first += most) {
        int64_t n = count - first < most ? count - first : most;
        size_t bytes = (size_t)n * dtype_size(dtype);
        char *at = (char *)data + (size_t)first * dtype_size(dtype);
        StagedChunk *chunk = NULL;
        TRY(chunk_add(s, n, dtype, label, &chunk));
        TRY(gpu_check(cudaMemcpyAsync(s->pinned, at, bytes, cudaMemcpyDeviceToHost, c->stream),
                      label));
        TRY(gpu_check(cudaLaunchHostFunc(c->stream, sum_chunk, chunk), label));
        TRY(gpu_check(cudaMemcpyAsync(at, s->pinned, bytes, cudaMemcpyHostToDevice, c->stream),
                      label));
    }
    return OK;
}

/* Processes a strip of every part at a time: copies this rank's strip to the host, gathers, and
 * copies all strips back. */
static Status all_gather(GpuCollectives *c, void *data, int64_t count, DType dtype,
                         const char *label) {
    Staged *s = c->kind;
    size_t size = (size_t)c->world->size, rank = (size_t)c->world->rank;
    size_t part = (size_t)count / size * dtype_size(dtype), most = TREE_CHUNK_BYTES / size;
    for (size_t first = 0; first < part; first += most) {
        size_t bytes = part - first < most ? part - first : most;
        char *at = (char *)data + first;
        StagedChunk *chunk = NULL;
        TRY(chunk_add(s, (int64_t)bytes, dtype, label, &chunk));
        TRY(gpu_check(cudaMemcpyAsync(s->pinned + rank * bytes, at + rank * part, bytes,
                                      cudaMemcpyDeviceToHost, c->stream),
                      label));
        TRY(gpu_check(cudaLaunchHostFunc(c->stream, gather_chunk, chunk), label));
        TRY(gpu_check(cudaMemcpy2DAsync(at, part, s->pinned, bytes, bytes, size,
                                        cudaMemcpyHostToDevice, c->stream),
                      label));
    }
    return OK;
}

static Status check(GpuCollectives *c) {
    const Staged *s = c->kind;
    return s->failures == 0 ? OK : ERROR(STATUS_FAILURE, "%s", s->message);
}

static void close_staged(GpuCollectives *c) {
    Staged *s = c->kind;
    if (s == NULL) return;
    while (s->chunks != NULL) {
        StagedChunk *chunk = s->chunks;
        s->chunks = chunk->next;
        free(chunk);
    }
    if (s->channel.comm != MPI_COMM_NULL) MPI_Comm_free(&s->channel.comm);
    cudaFreeHost(s->pinned);
    free(s->scratch);
    free(s);
}

static Status staged_open(GpuCollectives *c, Staged *s) {
    World *world = c->world;
    s->channel =
        (Channel){MPI_COMM_NULL, world->rank, world->size, WAITING_COMMUNICATION, c->watchdog, ""};
    TRY(mpi_check(MPI_Comm_dup(world->comm, &s->channel.comm), "MPI_Comm_dup"));
    s->scratch = malloc(TREE_CHUNK_BYTES);
    if (s->scratch == NULL) return OUT_OF_MEMORY("the scratch of reductions");
    return gpu_check(cudaMallocHost((void **)&s->pinned, TREE_CHUNK_BYTES),
                     "allocating pinned memory");
}

Status staged_collectives_create(World *world, Watchdog *watchdog, GpuCollectives **out) {
    GpuCollectives *c = NULL;
    Staged *s = calloc(1, sizeof *s);
    Status status =
        s == NULL ? OUT_OF_MEMORY("reductions") : gpu_collectives_open(world, watchdog, &c);
    status = world_agree(world, status);
    if (!failed(status)) {
        c->all_reduce = c->reduce_scatter =
            all_reduce; /* an all-reduce also yields this rank's part */
        c->all_gather = all_gather;
        c->check = check;
        c->close = close_staged;
        c->kind = s;
        status = world_agree(world, staged_open(c, s));
    } else {
        free(s);
    }
    if (failed(status)) gpu_collectives_destroy(&c);
    *out = c;
    return status;
}
