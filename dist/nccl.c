/* NCCL behind dist/gpu_collectives.h. dlopen loads the library at run time. Large collectives use
 * copies between GPUs instead if the GPUs can access each other: dist/peers.h. */
#include "core/base/clock.h"
#include "dist/gpu_internal.h"
#include "dist/peers.h"

#include <dlfcn.h>
#include <nccl.h>
#include <stdlib.h>
#include <time.h>

/* Sizes in bytes for warm_up; at least four elements per rank. Small: a loss or a norm. Medium:
 * vectors. Large: a bucket of gradients. */
enum { WARM_SMALL = 64 << 10, WARM_MEDIUM = 1 << 20, WARM_LARGE = 64 << 20 };

/* The functions of libnccl that this file calls, with the types of nccl.h. */
typedef struct NcclLibrary {
    void *handle;
    typeof(ncclGetVersion) *get_version;
    typeof(ncclGetUniqueId) *get_unique_id;
    typeof(ncclCommInitRankConfig) *init;
    typeof(ncclCommGetAsyncError) *async_error;
    typeof(ncclCommFinalize) *finalize;
    typeof(ncclCommDestroy) *destroy;
    typeof(ncclCommAbort) *abort;
    typeof(ncclAllReduce) *all_reduce;
    typeof(ncclReduceScatter) *reduce_scatter;
    typeof(ncclAllGather) *all_gather;
    typeof(ncclGetErrorString) *error_string;
} NcclLibrary;

typedef struct Nccl {
    NcclLibrary library;
    ncclComm_t comm;
    double deadline;
    Peers *peers; /* may be NULL */
} Nccl;

static Status library_load(NcclLibrary *l) {
    const struct {
        const char *name;
        void **function;
    } functions[] = {
        {"ncclGetVersion", (void **)&l->get_version},
        {"ncclGetUniqueId", (void **)&l->get_unique_id},
        {"ncclCommInitRankConfig", (void **)&l->init},
        {"ncclCommGetAsyncError", (void **)&l->async_error},
        {"ncclCommFinalize", (void **)&l->finalize},
        {"ncclCommDestroy", (void **)&l->destroy},
        {"ncclCommAbort", (void **)&l->abort},
        {"ncclAllReduce", (void **)&l->all_reduce},
        {"ncclReduceScatter", (void **)&l->reduce_scatter},
        {"ncclAllGather", (void **)&l->all_gather},
        {"ncclGetErrorString", (void **)&l->error_string},
    };
    l->handle = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (l->handle == NULL) {
        return ERROR(STATUS_CONFIG, "several GPUs need NCCL: %s; install libnccl2, or run one rank",
                     dlerror());
    }
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        *functions[i].function = dlsym(l->handle, functions[i].name);
        if (*functions[i].function == NULL) {
            return ERROR(STATUS_CONFIG, "libnccl.so.2 has no %s; install version %d.%d or later",
                         functions[i].name, NCCL_MAJOR, NCCL_MINOR);
        }
    }
    return OK;
}

static Status version_check(const NcclLibrary *l) {
    int version = 0;
    l->get_version(&version);
    if (version / 10000 == NCCL_MAJOR) return OK;
    return ERROR(
        STATUS_CONFIG,
        "libnccl.so.2 is version %d, but this program was built for %d.%d; install that version",
        version, NCCL_MAJOR, NCCL_MINOR);
}

static void doze(void) { nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL); }

/* After the deadline: aborts the communicator, which also ends its kernels. */
static Status give_up(Nccl *n, const char *what) {
    n->library.abort(n->comm);
    n->comm = NULL;
    return ERROR(STATUS_FAILURE,
                 "%s: NCCL did not respond within %.0f s; check whether another rank hangs", what,
                 n->deadline);
}

/* Waits until a non-blocking call has completed. */
static Status settle(Nccl *n, ncclResult_t result, const char *what) {
    double start = clock_seconds();
    while (result == ncclInProgress) {
        doze();
        ncclResult_t asked = n->library.async_error(n->comm, &result);
        if (asked != ncclSuccess) result = asked;
        if (result == ncclInProgress && clock_seconds() - start > n->deadline)
            return give_up(n, what);
    }
    if (result == ncclSuccess) return OK;
    return ERROR(STATUS_FAILURE, "%s: NCCL: %s (set NCCL_DEBUG=WARN for details)", what,
                 n->library.error_string(result));
}

static ncclDataType_t nccl_type(DType dtype) {
    return dtype == DTYPE_F64 ? ncclFloat64 : ncclFloat32;
}

static Status all_reduce(GpuCollectives *c, void *data, int64_t count, DType dtype,
                         const char *label) {
    Nccl *n = c->kind;
    if (peers_take(n->peers, count, dtype))
        return peers_all_reduce(n->peers, data, count, dtype, label);
    ncclResult_t result = n->library.all_reduce(data, data, (size_t)count, nccl_type(dtype),
                                                ncclSum, n->comm, c->stream);
    return settle(n, result, label);
}

static Status reduce_scatter(GpuCollectives *c, void *data, int64_t count, DType dtype,
                             const char *label) {
    Nccl *n = c->kind;
    if (peers_take(n->peers, count, dtype))
        return peers_reduce_scatter(n->peers, data, count, dtype, label);
    size_t part = (size_t)count / (size_t)c->world->size;
    char *mine = (char *)data + (size_t)c->world->rank * part * dtype_size(dtype);
    return settle(
        n,
        n->library.reduce_scatter(data, mine, part, nccl_type(dtype), ncclSum, n->comm, c->stream),
        label);
}

static Status all_gather(GpuCollectives *c, void *data, int64_t count, DType dtype,
                         const char *label) {
    Nccl *n = c->kind;
    if (peers_take(n->peers, count, dtype))
        return peers_all_gather(n->peers, data, count, dtype, label);
    size_t bytes = (size_t)count / (size_t)c->world->size * dtype_size(dtype);
    const char *mine = (const char *)data + (size_t)c->world->rank * bytes;
    return settle(n, n->library.all_gather(mine, data, bytes, ncclUint8, n->comm, c->stream),
                  label);
}

static Status check(GpuCollectives *c) {
    Nccl *n = c->kind;
    ncclResult_t result = ncclSuccess;
    n->library.async_error(n->comm, &result);
    return result == ncclInProgress ? OK : settle(n, result, "a reduction");
}

static void release(GpuCollectives *c) { peers_release(((Nccl *)c->kind)->peers); }

static void close_nccl(GpuCollectives *c) {
    Nccl *n = c->kind;
    if (n == NULL) return;
    peers_destroy(&n->peers);
    if (n->comm != NULL && !failed(settle(n, n->library.finalize(n->comm), "ending NCCL")))
        n->library.destroy(n->comm);
    if (n->library.handle != NULL) dlclose(n->library.handle);
    free(n);
}

/* Rank 0's communicator id travels by MPI; all ranks join it together. */
static Status connect_ranks(GpuCollectives *c, Nccl *n) {
    ncclUniqueId id = {0};
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    Status mine = library_load(&n->library);
    if (!failed(mine)) mine = version_check(&n->library);
    if (!failed(mine) && c->world->rank == 0)
        mine = settle(n, n->library.get_unique_id(&id), "starting NCCL");
    TRY(world_agree(c->world, mine));
    TRY(world_broadcast(c->world, &id, sizeof id));
    ncclResult_t result = n->library.init(&n->comm, c->world->size, id, c->world->rank, &config);
    return world_agree(c->world, settle(n, result, "connecting the GPUs"));
}

/* Waits until the stream is empty. */
static Status drain(GpuCollectives *c, Nccl *n, const char *what) {
    double start = clock_seconds();
    cudaError_t error;
    while ((error = cudaStreamQuery(c->stream)) == cudaErrorNotReady) {
        doze();
        if (clock_seconds() - start > n->deadline) return give_up(n, what);
    }
    return gpu_check(error, what);
}

static Status warm_with(GpuCollectives *c, Nccl *n, void *data, int64_t floats, const char *what) {
    TRY(all_reduce(c, data, floats, DTYPE_F32, what));
    TRY(all_reduce(c, data, floats / 2, DTYPE_F64, what));
    TRY(reduce_scatter(c, data, floats, DTYPE_F32, what));
    TRY(all_gather(c, data, floats, DTYPE_F32, what));
    return drain(c, n, what);
}

static Status warm_sizes(GpuCollectives *c, Nccl *n, const size_t *sizes, size_t count, void *data,
                         const char *what) {
    for (size_t i = 0; i < count; i++) {
        int64_t each = (int64_t)(sizes[i] / sizeof(float)) / (2 * c->world->size);
        TRY(warm_with(c, n, data, each * 2 * c->world->size, what));
    }
    return OK;
}

/* NCCL allocates most of its memory, several hundred MiB, at its first collectives of each kind and
 * size. Running one of each kind that a step uses, on the stream that it uses, forces the
 * allocation before the free memory is measured. Collective. */
static Status warm_up(GpuCollectives *c, Nccl *n) {
    static const char what[] = "the first sums over the GPUs";
    const size_t sizes[] = {WARM_SMALL, WARM_MEDIUM, WARM_LARGE};
    size_t count = sizeof sizes / sizeof *sizes;
    if (n->peers != NULL) count--; /* large collectives use copies */
    void *data = NULL;
    Status status = world_agree(c->world, gpu_check(cudaMalloc(&data, sizes[count - 1]), what));
    if (!failed(status)) status = world_agree(c->world, warm_sizes(c, n, sizes, count, data, what));
    cudaFree(data);
    return status;
}

Status nccl_collectives_create(World *world, Watchdog *watchdog, double deadline,
                               GpuCollectives **out) {
    GpuCollectives *c = NULL;
    Nccl *n = calloc(1, sizeof *n);
    Status status = n == NULL ? OUT_OF_MEMORY("NCCL") : gpu_collectives_open(world, watchdog, &c);
    status = world_agree(world, status);
    if (!failed(status)) {
        *n = (Nccl){.deadline = deadline};
        c->all_reduce = all_reduce;
        c->reduce_scatter = reduce_scatter;
        c->all_gather = all_gather;
        c->check = check;
        c->release = release;
        c->close = close_nccl;
        c->kind = n;
        double allowed = watchdog_allow(watchdog, deadline, "connecting the GPUs");
        status = connect_ranks(c, n);
        if (!failed(status)) status = peers_create(c, &n->peers);
        if (!failed(status)) status = warm_up(c, n);
        (void)watchdog_allow(watchdog, allowed, "start-up");
    } else {
        free(n);
    }
    if (failed(status)) gpu_collectives_destroy(&c);
    *out = c;
    return status;
}
