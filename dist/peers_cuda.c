#include "dist/peers.h"

#include "core/cuda/peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* PULL_BYTES: the size of one staging buffer. Two buffers alternate: one receives data while the
 * other is added. */
enum { PULL_BYTES = 16 << 20, BUFFERS = 2, SLOTS = 16, FLAG_BYTES = 2 << 20 };

typedef enum Flag {
    FLAG_READY,
    FLAG_DONE,
    FLAG_KINDS
} Flag; /* ready: the data may be pulled; done: the data has been pushed */

/* The address of a rank's data, in a form that other ranks can map. */
typedef struct RemoteAddress {
    cudaIpcMemHandle_t handle;
    uint64_t id, offset; /* of the allocation; of the data in it */
    void *base;
} RemoteAddress;

/* Another rank's allocation in this process. */
typedef struct Mapping {
    int rank;
    uint64_t id;
    void *base, *mapped;
    struct Mapping *next;
} Mapping;

struct Peers {
    GpuCollectives *c;
    cudaStream_t copies; /* the pulls; they overlap the additions on the collectives' stream */
    cudaEvent_t begun, full[BUFFERS], empty[BUFFERS];
    uint32_t *flags;                   /* (FLAG_KINDS, SLOTS, rank that sets it), of this rank */
    uint32_t *others[PEER_MOST_RANKS]; /* the flags of each rank */
    char *buffers;                     /* (BUFFERS, ranks - 1, pull) */
    size_t pull;                       /* bytes from one rank at a time */
    Mapping *mappings, *lasting;       /* newest first; `lasting` starts the mappings of flags */
};

static uint32_t *flag_at(const Peers *p, int owner, Flag kind, int setter) {
    int slot = (int)(p->c->in_group % SLOTS);
    return p->others[owner] + ((int)kind * SLOTS + slot) * PEER_MOST_RANKS + setter;
}

static Status mapping_find(Peers *p, int rank, const RemoteAddress *place, void **out) {
    Mapping *m = p->mappings;
    while (m != NULL && (m->rank != rank || m->base != place->base)) m = m->next;
    if (m != NULL && m->id != place->id) { /* its owner has freed it and reused the address */
        cudaIpcCloseMemHandle(m->mapped);
        m->mapped = NULL;
    } else if (m == NULL) {
        m = calloc(1, sizeof *m);
        if (m == NULL) return OUT_OF_MEMORY("a mapping of another rank's memory");
        m->next = p->mappings;
        p->mappings = m;
    }
    *m = (Mapping){
        .rank = rank, .id = place->id, .base = place->base, .mapped = m->mapped, .next = m->next};
    if (m->mapped == NULL) {
        TRY(gpu_check(
            cudaIpcOpenMemHandle(&m->mapped, place->handle, cudaIpcMemLazyEnablePeerAccess),
            "mapping another rank's memory"));
    }
    *out = (char *)m->mapped + place->offset;
    return OK;
}

static Status place_find(void *data, RemoteAddress *out) {
    void *base = NULL;
    TRY(peer_allocation(data, &base, &out->id));
    TRY(gpu_check(cudaIpcGetMemHandle(&out->handle, base), "sharing memory with other ranks"));
    out->offset = (uint64_t)((char *)data - (char *)base);
    out->base = base;
    return OK;
}

/* out[r] = the address of rank r's `data` in this process. The handles travel by MPI. A rank that
 * has no handle to give still takes part, so that no other rank waits for it. Collective. */
static Status addresses_exchange(Peers *p, void *data, const char *label,
                                 void *out[PEER_MOST_RANKS]) {
    const World *world = p->c->world;
    RemoteAddress mine = {0}, all[PEER_MOST_RANKS];
    Status found = place_find(data, &mine);
    Channel channel = {world->comm, world->rank, world->size, WAITING_MAIN, p->c->watchdog, label};
    MPI_Request request;
    TRY(mpi_check(MPI_Iallgather(&mine, sizeof mine, MPI_BYTE, all, sizeof mine, MPI_BYTE,
                                 world->comm, &request),
                  label));
    TRY(channel_complete(&channel, 1, &request));
    TRY(found);
    for (int r = 0; r < world->size; r++) {
        if (all[r].base == NULL) {
            return ERROR(STATUS_FAILURE, "%s: rank %d on %s cannot share its memory", label, r,
                         world->hosts[r]);
        }
        out[r] = data;
        if (r != world->rank) TRY(mapping_find(p, r, &all[r], &out[r]));
    }
    return OK;
}

/* tell: sets a flag on all other ranks. listen: waits until all other ranks have set this rank's
 * flag. */
static Status tell(Peers *p, Flag kind) {
    const World *world = p->c->world;
    for (int k = 1; k < world->size; k++) {
        TRY(peer_flag_set(p->c->stream,
                          flag_at(p, (world->rank + k) % world->size, kind, world->rank)));
    }
    return OK;
}

static Status listen(Peers *p, Flag kind) {
    const World *world = p->c->world;
    for (int r = 0; r < world->size; r++) {
        if (r != world->rank) TRY(peer_flag_await(p->c->stream, flag_at(p, world->rank, kind, r)));
    }
    return OK;
}

/* Pulls [at, at + bytes) from every other rank into a staging buffer; terms[r] = the address of
 * rank r's copy. */
static Status pull(Peers *p, int buffer, void *const data[], size_t at, size_t bytes,
                   const char *label, const void *terms[]) {
    const World *world = p->c->world;
    char *to = p->buffers + (size_t)buffer * (size_t)(world->size - 1) * p->pull;
    for (int k = 1; k < world->size; k++, to += p->pull) {
        int r = (world->rank + k) % world->size;
        terms[r] = to;
        TRY(gpu_check(
            cudaMemcpyAsync(to, (char *)data[r] + at, bytes, cudaMemcpyDeviceToDevice, p->copies),
            label));
    }
    terms[world->rank] = (char *)data[world->rank] + at;
    TRY(gpu_check(cudaEventRecord(p->full[buffer], p->copies), label));
    return gpu_check(cudaStreamWaitEvent(p->c->stream, p->full[buffer], 0), label);
}

static Status parts_pull(Peers *p, void *const data[], size_t part, DType dtype,
                         const char *label) {
    const World *world = p->c->world;
    size_t first = (size_t)world->rank * part;
    TRY(gpu_check(cudaEventRecord(p->begun, p->c->stream), label));
    TRY(gpu_check(cudaStreamWaitEvent(p->copies, p->begun, 0), label));
    for (size_t done = 0, n = 0; done < part; done += p->pull, n++) {
        int buffer = (int)(n % BUFFERS);
        size_t bytes = part - done < p->pull ? part - done : p->pull;
        const void *terms[PEER_MOST_RANKS];
        if (n >= BUFFERS)
            TRY(gpu_check(cudaStreamWaitEvent(p->copies, p->empty[buffer], 0), label));
        TRY(pull(p, buffer, data, first + done, bytes, label, terms));
        TRY(peer_sum(p->c->stream, (char *)data[world->rank] + first + done, terms, world->size,
                     (int64_t)(bytes / dtype_size(dtype)), dtype));
        TRY(gpu_check(cudaEventRecord(p->empty[buffer], p->c->stream), label));
    }
    return OK;
}

/* Prepares a collective: exchanges the addresses of the data and, on the stream, waits until all
 * ranks have reached this point. */
static Status meet(Peers *p, void *data, const char *label, void *everywhere[PEER_MOST_RANKS]) {
    TRY(addresses_exchange(p, data, label, everywhere));
    TRY(tell(p, FLAG_READY));
    return listen(p, FLAG_READY);
}

/* Pushes this rank's part to all other ranks, then waits until all their parts have arrived. */
static Status parts_push(Peers *p, void *const data[], size_t part, const char *label) {
    const World *world = p->c->world;
    size_t first = (size_t)world->rank * part;
    for (int k = 1; k < world->size; k++) {
        char *to = (char *)data[(world->rank + k) % world->size] + first;
        const char *from = (const char *)data[world->rank] + first;
        TRY(gpu_check(cudaMemcpyAsync(to, from, part, cudaMemcpyDeviceToDevice, p->c->stream),
                      label));
    }
    TRY(tell(p, FLAG_DONE));
    return listen(p, FLAG_DONE);
}

static size_t part_bytes(const Peers *p, int64_t count, DType dtype) {
    return (size_t)(count / p->c->world->size) * dtype_size(dtype);
}

Status peers_all_reduce(Peers *p, void *data, int64_t count, DType dtype, const char *label) {
    void *everywhere[PEER_MOST_RANKS];
    TRY(meet(p, data, label, everywhere));
    TRY(parts_pull(p, everywhere, part_bytes(p, count, dtype), dtype, label));
    return parts_push(p, everywhere, part_bytes(p, count, dtype), label);
}

Status peers_reduce_scatter(Peers *p, void *data, int64_t count, DType dtype, const char *label) {
    void *everywhere[PEER_MOST_RANKS];
    TRY(meet(p, data, label, everywhere));
    return parts_pull(p, everywhere, part_bytes(p, count, dtype), dtype, label);
}

Status peers_all_gather(Peers *p, void *data, int64_t count, DType dtype, const char *label) {
    void *everywhere[PEER_MOST_RANKS];
    TRY(meet(p, data, label, everywhere));
    return parts_push(p, everywhere, part_bytes(p, count, dtype), label);
}

bool peers_take(const Peers *p, int64_t count, DType dtype) {
    if (p == NULL) return false;
    int64_t ranks = p->c->world->size;
    size_t bytes = (size_t)count * dtype_size(dtype);
    return bytes >= PEER_LEAST_BYTES && count % ranks == 0 && bytes / (size_t)ranks % 16 == 0;
}

enum { BUS_BYTES = 32 };

static Status bus_find(int *device, char bus[BUS_BYTES]) {
    TRY(peer_check());
    TRY(gpu_check(cudaGetDevice(device), "finding the current GPU"));
    return gpu_check(cudaDeviceGetPCIBusId(bus, BUS_BYTES, *device),
                     "finding the PCI address of the GPU");
}

/* Fails unless this rank's GPU can access every other rank's GPU. */
static Status reach_all(const GpuCollectives *c) {
    const World *world = c->world;
    char mine[BUS_BYTES] = {0}, all[PEER_MOST_RANKS][BUS_BYTES];
    int device = 0;
    Status found = bus_find(&device, mine);
    TRY(mpi_check(MPI_Allgather(mine, BUS_BYTES, MPI_BYTE, all, BUS_BYTES, MPI_BYTE, world->comm),
                  "MPI_Allgather"));
    TRY(found);
    for (int r = 0; r < world->size; r++) {
        int other = -1, can = 0;
        if (r == world->rank) continue;
        bool is_seen = cudaDeviceGetByPCIBusId(&other, all[r]) == cudaSuccess;
        if (is_seen && cudaDeviceCanAccessPeer(&can, device, other) == cudaSuccess && can != 0)
            continue;
        return ERROR(STATUS_UNSUPPORTED, "GPU %s cannot access GPU %s", mine, all[r]);
    }
    return OK;
}

static bool is_disabled(void) {
    const char *disable = getenv("NCCL_P2P_DISABLE");
    return disable != NULL && strcmp(disable, "0") != 0;
}

static Status resources_create(Peers *p) {
    const World *world = p->c->world;
    int others = world->size - 1;
    p->pull = (size_t)PULL_BYTES / (size_t)others / 256 * 256;
    TRY(gpu_check(cudaStreamCreateWithFlags(&p->copies, cudaStreamNonBlocking),
                  "creating a stream"));
    TRY(gpu_check(cudaEventCreateWithFlags(&p->begun, cudaEventDisableTiming),
                  "creating an event"));
    for (int i = 0; i < BUFFERS; i++) {
        TRY(gpu_check(cudaEventCreateWithFlags(&p->full[i], cudaEventDisableTiming),
                      "creating an event"));
        TRY(gpu_check(cudaEventCreateWithFlags(&p->empty[i], cudaEventDisableTiming),
                      "creating an event"));
    }
    TRY(gpu_check(cudaMalloc((void **)&p->buffers, BUFFERS * (size_t)others * p->pull),
                  "allocating memory for sums"));
    TRY(gpu_check(cudaMalloc((void **)&p->flags, FLAG_BYTES), "allocating memory for flags"));
    TRY(gpu_check(cudaMemset(p->flags, 0, FLAG_BYTES), "clearing flags"));
    return gpu_check(cudaDeviceSynchronize(), "clearing flags");
}

static Status peers_connect(Peers *p) {
    World *world = p->c->world;
    void *flags[PEER_MOST_RANKS];
    TRY(world_agree(world, reach_all(p->c)));
    TRY(world_agree(world, resources_create(p)));
    TRY(world_agree(world, addresses_exchange(p, p->flags, "sharing flags", flags)));
    for (int r = 0; r < world->size; r++) p->others[r] = flags[r];
    p->lasting = p->mappings;
    return OK;
}

Status peers_create(GpuCollectives *c, Peers **out) {
    World *world = c->world;
    *out = NULL;
    int64_t all = world->n_hosts == 1 && world->size <= PEER_MOST_RANKS && !is_disabled();
    TRY(world_min_i64(world, &all));
    if (all == 0) return OK;
    Peers *p = calloc(1, sizeof *p);
    TRY(world_agree(world, p != NULL ? OK : OUT_OF_MEMORY("copies between GPUs")));
    p->c = c;
    *out = p;
    if (!failed(peers_connect(p))) return OK;
    snprintf(c->note, sizeof c->note, "%s", status_message());
    peers_destroy(out);
    (void)cudaGetLastError(); /* clears the error, which the next launch would report */
    return OK;
}

/* A rank may free memory that it exported only after all ranks have closed it. */
static void mappings_close(Peers *p, const Mapping *end) {
    while (p->mappings != end) {
        Mapping *m = p->mappings;
        p->mappings = m->next;
        if (m->mapped != NULL) cudaIpcCloseMemHandle(m->mapped);
        free(m);
    }
    Status ignored = world_barrier(p->c->world); /* if the barrier fails, the run ends anyway */
    (void)ignored;
}

void peers_release(Peers *p) {
    if (p != NULL) mappings_close(p, p->lasting);
}

void peers_destroy(Peers **peers) {
    Peers *p = peers == NULL ? NULL : *peers;
    if (p == NULL) return;
    mappings_close(p, NULL);
    for (int i = 0; i < BUFFERS; i++) {
        if (p->full[i] != NULL) cudaEventDestroy(p->full[i]);
        if (p->empty[i] != NULL) cudaEventDestroy(p->empty[i]);
    }
    if (p->begun != NULL) cudaEventDestroy(p->begun);
    if (p->copies != NULL) cudaStreamDestroy(p->copies);
    cudaFree(p->buffers);
    cudaFree(p->flags);
    free(p);
    *peers = NULL;
}
