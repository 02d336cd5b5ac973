/* Waits for MPI requests, and sums over ranks.
 *
 * The sum does not use MPI_Allreduce, for three reasons, measured with Open MPI 4.1.4. First, no
 * MPI promises an order of addition. Open MPI's default adds in the tree below on 2 and 4 ranks
 * (100 to 6.5 M floats), but it selects the algorithm by size, rank count and site configuration,
 * and its ring differs from the tree in a third of all elements. Second, each call allocates half
 * as much memory as the data, which no plan contains. Third, its wait spins: 1.1 s of CPU time in 2
 * s of waiting for a late rank, on a core that backward could use.
 *
 * The order: recursive halving at distances 1, 2, 4, ..., then an all-gather (Rabenseifner 2004).
 * Every element is ((g0 + g1) + (g2 + g3)) + ..., computed on one rank and copied to the others.
 * The largest exchange is between neighbors, which share a host; the smallest crosses hosts. Data
 * is processed in chunks of 4 MiB. Smaller chunks lose time to the sleeping waits between exchanges
 * (measured: 1 MiB is half as fast); larger chunks only need more scratch memory. */
#include "dist/channel.h"

#include "core/base/clock.h"

#include <sched.h>
#include <string.h>
#include <time.h>

static const double SPIN_SECONDS = 100e-6, SHORT_WAIT_SECONDS = 10e-3;

Status mpi_check(int result, const char *what) {
    if (result == MPI_SUCCESS) return OK;
    char text[MPI_MAX_ERROR_STRING] = "unknown error";
    int length = 0;
    MPI_Error_string(result, text, &length);
    return ERROR(STATUS_FAILURE, "MPI failed in %s: %s", what, text);
}

static void sleep_microseconds(long microseconds) {
    nanosleep(&(struct timespec){.tv_nsec = 1000 * microseconds}, NULL);
}

Status channel_complete(const Channel *channel, int n, MPI_Request *requests) {
    double start = clock_seconds();
    bool waits = false;
    int done = 0, result;
    while ((result = MPI_Testall(n, requests, &done, MPI_STATUSES_IGNORE)) == MPI_SUCCESS &&
           !done) {
        double waited = clock_seconds() - start;
        watchdog_poll(channel->watchdog, channel->thread);
        if (waited < SPIN_SECONDS) {
            sched_yield();
            continue;
        }
        if (!waits) watchdog_wait_begin(channel->watchdog, channel->thread, channel->label);
        waits = true;
        sleep_microseconds(waited < SHORT_WAIT_SECONDS ? 50 : 500);
    }
    if (waits) watchdog_wait_end(channel->watchdog, channel->thread);
    watchdog_poll(channel->watchdog, channel->thread);
    return mpi_check(result, channel->label);
}

/* A range of the data that fits the scratch memory. */
typedef struct ChannelChunk {
    unsigned char *data, *scratch;
    MPI_Datatype type;
    size_t element;
} ChannelChunk;

typedef struct ChunkSegment {
    int first, count; /* elements of the chunk */
} ChunkSegment;

static unsigned char *chunk_at(const ChannelChunk *chunk, int element) {
    return chunk->data + (size_t)element * chunk->element;
}

static Status exchange(const Channel *c, int partner, const ChannelChunk *chunk, ChunkSegment send,
                       void *receive, int n_receive) {
    MPI_Request requests[2] = {MPI_REQUEST_NULL, MPI_REQUEST_NULL};
    TRY(mpi_check(MPI_Irecv(receive, n_receive, chunk->type, partner, 0, c->comm, &requests[0]),
                  c->label));
    TRY(mpi_check(MPI_Isend(chunk_at(chunk, send.first), send.count, chunk->type, partner, 0,
                            c->comm, &requests[1]),
                  c->label));
    return channel_complete(c, 2, requests);
}

static Status add(const Channel *c, const ChannelChunk *chunk, ChunkSegment to) {
    return mpi_check(
        MPI_Reduce_local(chunk->scratch, chunk_at(chunk, to.first), to.count, chunk->type, MPI_SUM),
        c->label);
}

/* Splits a segment in two: a rank keeps the upper half if `upper`, and gives the other half to its
 * partner. */
static void halve(ChunkSegment whole, bool upper, ChunkSegment *keep, ChunkSegment *give) {
    ChunkSegment low = {whole.first, whole.count / 2},
                 high = {whole.first + low.count, whole.count - low.count};
    *keep = upper ? high : low;
    *give = upper ? low : high;
}

/* Sums over ranks 0 .. 2^k - 1. */
static Status sum_power_of_two(const Channel *c, const ChannelChunk *chunk, int count, int power) {
    ChunkSegment levels[32], mine = {0, count}, give;
    int level = 0;
    for (int distance = 1; distance < power; distance *= 2) {
        levels[level++] = mine;
        halve(mine, (c->rank & distance) != 0, &mine, &give);
        TRY(exchange(c, c->rank ^ distance, chunk, give, chunk->scratch, mine.count));
        TRY(add(c, chunk, mine));
    }
    for (int distance = power / 2; distance >= 1; distance /= 2) {
        halve(levels[--level], (c->rank & distance) != 0, &mine, &give);
        TRY(exchange(c, c->rank ^ distance, chunk, mine, chunk_at(chunk, give.first), give.count));
    }
    return OK;
}

/* Ranks beyond the largest power of two first add their data into rank - power, and receive the
 * result at the end. */
static Status sum_chunk(const Channel *c, const ChannelChunk *chunk, int count) {
    const ChunkSegment all = {0, count}, none = {0, 0};
    int power = 1;
    while (power * 2 <= c->size) power *= 2;
    if (c->rank >= power) {
        TRY(exchange(c, c->rank - power, chunk, all, chunk->scratch, 0));
        return exchange(c, c->rank - power, chunk, none, chunk->data, count);
    }
    bool has_extra = c->rank + power < c->size;
    if (has_extra) {
        TRY(exchange(c, c->rank + power, chunk, none, chunk->scratch, count));
        TRY(add(c, chunk, all));
    }
    TRY(sum_power_of_two(c, chunk, count, power));
    return has_extra ? exchange(c, c->rank + power, chunk, all, chunk->scratch, 0) : OK;
}

Status channel_sum(const Channel *channel, void *data, int64_t count, DType dtype, void *scratch) {
    if (dtype != DTYPE_F32 && dtype != DTYPE_F64) {
        return ERROR(STATUS_UNSUPPORTED, "%s: MPI can sum f32 and f64, not %s", channel->label,
                     dtype_name(dtype));
    }
    if (channel->size == 1) return OK;
    ChannelChunk chunk = {data, scratch, dtype == DTYPE_F32 ? MPI_FLOAT : MPI_DOUBLE,
                          dtype_size(dtype)};
    const int64_t most = TREE_CHUNK_BYTES / (int64_t)chunk.element;
    for (int64_t done = 0; done < count; done += most) {
        int n = (int)(count - done < most ? count - done : most);
        chunk.data = (unsigned char *)data + (size_t)done * chunk.element;
        TRY(sum_chunk(channel, &chunk, n));
    }
    return OK;
}
