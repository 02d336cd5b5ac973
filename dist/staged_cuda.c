/* Collectives through host memory, for ranks that share a GPU. Each piece is copied to pinned
 * memory, summed by MPI in a host function of the stream, and copied back. Slow; useful for testing
 * data parallelism on one GPU. */
#include "dist/gpu_internal.h"

#include <stdio.h>
#include <stdlib.h>

/* One piece of a collective, the argument of a host function. It lives as long as the graph that
 * captured the host function. */
typedef struct Piece {
    struct Staged *owner;
    int64_t count; /* elements to sum, or bytes of a part to gather */
    DType dtype;
    char label[64];
    struct Piece *next;
} Piece;

typedef struct Staged {
    Channel channel;
    char *pinned; /* TREE_PIECE_BYTES */
    void *scratch;
    Piece *pieces;
    volatile int failures; /* of host functions, which cannot return a failure */
    char message[512];
} Staged;

static void note(Staged *s, Status status) {
    if (!failed(status)) return;
    snprintf(s->message, sizeof s->message, "%s", status_message());
    s->failures = 1;
}

static void sum_piece(void *argument) {
    Piece *piece = argument;
    Staged *s = piece->owner;
    if (s->failures > 0) return;
    s->channel.label = piece->label;
    note(s, channel_sum(&s->channel, s->pinned, piece->count, piece->dtype, s->scratch));
}

static void gather_piece(void *argument) {
    Piece *piece = argument;
    Staged *s = piece->owner;
    if (s->failures > 0) return;
    s->channel.label = piece->label;
    note(s, channel_gather_parts(&s->channel, s->pinned, (size_t)piece->count));
}

static Status piece_add(Staged *s, int64_t count, DType dtype, const char *label, Piece **out) {
    Piece *piece = calloc(1, sizeof *piece);
    if (piece == NULL) return ERROR(STATUS_NO_ROOM, "out of memory for a reduction");
    *piece = (Piece){.owner = s, .count = count, .dtype = dtype, .next = s->pieces};
    snprintf(piece->label, sizeof piece->label, "%s", label);
    s->pieces = *out = piece;
    return OK;
}

static Status all_reduce(GpuCollectives *c, void *data, int64_t count, DType dtype,
                         const char *label) {
    Staged *s = c->kind;
    const int64_t room = TREE_PIECE_BYTES / (int64_t)dtype_size(dtype);
    for (int64_t first = 0; first < count; first += room) {
        int64_t n = count - first < room ? count - first : room;
        size_t bytes = (size_t)n * dtype_size(dtype);
        char *at = (char *)data + (size_t)first * dtype_size(dtype);
        Piece *piece = NULL;
        TRY(piece_add(s, n, dtype, label, &piece));
        TRY(gpu_check(cudaMemcpyAsync(s->pinned, at, bytes, cudaMemcpyDeviceToHost, c->stream),
                      label));
        TRY(gpu_check(cudaLaunchHostFunc(c->stream, sum_piece, piece), label));
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
    size_t part = (size_t)count / size * dtype_size(dtype), room = TREE_PIECE_BYTES / size;
    for (size_t first = 0; first < part; first += room) {
        size_t bytes = part - first < room ? part - first : room;
        char *at = (char *)data + first;
        Piece *piece = NULL;
        TRY(piece_add(s, (int64_t)bytes, dtype, label, &piece));
        TRY(gpu_check(cudaMemcpyAsync(s->pinned + rank * bytes, at + rank * part, bytes,
                                      cudaMemcpyDeviceToHost, c->stream),
                      label));
        TRY(gpu_check(cudaLaunchHostFunc(c->stream, gather_piece, piece), label));
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
    while (s->pieces != NULL) {
        Piece *piece = s->pieces;
        s->pieces = piece->next;
        free(piece);
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
    s->scratch = malloc(TREE_PIECE_BYTES);
    if (s->scratch == NULL)
        return ERROR(STATUS_NO_ROOM, "out of memory for the scratch of reductions");
    return gpu_check(cudaMallocHost((void **)&s->pinned, TREE_PIECE_BYTES),
                     "allocating pinned memory");
}

Status staged_collectives_create(World *world, Watchdog *watchdog, GpuCollectives **out) {
    GpuCollectives *c = NULL;
    Staged *s = calloc(1, sizeof *s);
    Status status = s == NULL ? ERROR(STATUS_NO_ROOM, "out of memory for reductions")
                              : gpu_collectives_open(world, watchdog, &c);
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
