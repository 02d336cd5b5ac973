/* Reduce-scatter and all-gather with one part per rank, for an optimizer that is sharded over
 * ranks.
 *
 * The order of a sum is that of channel.c: recursive halving at distances 1, 2, 4, ..., over parts
 * instead of halves. At distance d, a rank keeps the parts whose number has the same bit d as its
 * own number, and gives the others away. It ends with part `rank` = ((g0 + g1) + (g2 + g3)) + ... A
 * part beyond the largest power of two P travels with the part of rank - P. Each step processes a
 * strip of every part, cut so that the strips fit the scratch memory. */
#include "dist/channel.h"

#include <stdbool.h>
#include <string.h>

/* The strip [first, first + count) of every part. */
typedef struct Strip {
    const Channel *channel;
    unsigned char *data, *scratch;
    MPI_Datatype type;
    size_t element;
    int64_t part, first; /* elements of a part; start of the strip within each part */
    int count;
} Strip;

enum { AT_ONCE = 64 }; /* requests */

static unsigned char *strip_at(const Strip *s, int part) {
    return s->data + (size_t)(part * s->part + s->first) * s->element;
}

/* Pending requests. A full list is completed before more requests start. */
typedef struct Requests {
    const Channel *channel;
    int n;
    MPI_Request list[AT_ONCE];
} Requests;

static Status requests_finish(Requests *r) {
    int n = r->n;
    r->n = 0;
    return n == 0 ? OK : channel_complete(r->channel, n, r->list);
}

static Status send(Requests *r, const void *data, int count, MPI_Datatype type, int to, int tag) {
    const Channel *c = r->channel;
    return mpi_check(MPI_Isend(data, count, type, to, tag, c->comm, &r->list[r->n++]), c->label);
}

static Status receive(Requests *r, void *data, int count, MPI_Datatype type, int from, int tag) {
    const Channel *c = r->channel;
    return mpi_check(MPI_Irecv(data, count, type, from, tag, c->comm, &r->list[r->n++]), c->label);
}

/* Whether a rank that has completed all distances below `distance` still holds this part. */
static bool is_held(int part, int rank, int power, int distance) {
    return ((part % power ^ rank) & (distance - 1)) == 0;
}

/* Exchanges parts with `partner`: sends the parts marked in `give`, receives the parts marked in
 * `take` into scratch memory, and adds them. Both sides visit the parts in the same order, so their
 * lists fill up at the same point. */
static Status parts_exchange(const Strip *s, int partner, const bool *give, const bool *take) {
    const Channel *c = s->channel;
    Requests requests = {.channel = c};
    size_t bytes = (size_t)s->count * s->element;
    for (int part = 0; part < c->size; part++) {
        void *received = s->scratch + (size_t)part * bytes;
        if (take[part]) TRY(receive(&requests, received, s->count, s->type, partner, part));
        if (give[part]) TRY(send(&requests, strip_at(s, part), s->count, s->type, partner, part));
        if (requests.n >= AT_ONCE - 1) TRY(requests_finish(&requests));
    }
    TRY(requests_finish(&requests));
    for (int part = 0; part < c->size; part++) {
        if (!take[part]) continue;
        void *received = s->scratch + (size_t)part * bytes;
        TRY(mpi_check(MPI_Reduce_local(received, strip_at(s, part), s->count, s->type, MPI_SUM),
                      c->label));
    }
    return OK;
}

static Status strip_halve(const Strip *s, int power, bool *give, bool *take) {
    const Channel *c = s->channel;
    for (int distance = 1; distance < power; distance *= 2) {
        for (int part = 0; part < c->size; part++) {
            bool held = is_held(part, c->rank, power, distance);
            take[part] = held && is_held(part, c->rank, power, 2 * distance);
            give[part] = held && !take[part];
        }
        TRY(parts_exchange(s, c->rank ^ distance, give, take));
    }
    return OK;
}

/* If rank >= P: sends all parts to rank - P, and receives its own sum at the end. */
static Status strip_sum(const Strip *s, bool *give, bool *take) {
    const Channel *c = s->channel;
    int power = 1;
    while (power * 2 <= c->size) power *= 2;
    bool is_extra = c->rank >= power, has_extra = c->rank + power < c->size;
    Requests requests = {.channel = c};
    if (is_extra || has_extra) {
        memset(give, is_extra, (size_t)c->size);
        memset(take, has_extra, (size_t)c->size);
        TRY(parts_exchange(s, is_extra ? c->rank - power : c->rank + power, give, take));
    }
    if (is_extra) {
        TRY(receive(&requests, strip_at(s, c->rank), s->count, s->type, c->rank - power, c->rank));
        return requests_finish(&requests);
    }
    TRY(strip_halve(s, power, give, take));
    if (!has_extra) return OK;
    TRY(send(&requests, strip_at(s, c->rank + power), s->count, s->type, c->rank + power,
             c->rank + power));
    return requests_finish(&requests);
}

Status channel_sum_parts(const Channel *c, void *data, int64_t count, DType dtype, void *scratch) {
    if (dtype != DTYPE_F32 && dtype != DTYPE_F64) {
        return ERROR(STATUS_UNSUPPORTED, "%s: MPI can sum f32 and f64, not %s", c->label,
                     dtype_name(dtype));
    }
    if (c->size == 1) return OK;
    bool flags[2 * CHANNEL_MOST_RANKS];
    if (c->size > CHANNEL_MOST_RANKS) {
        return ERROR(STATUS_UNSUPPORTED, "%s: a sharded sum supports at most %d ranks", c->label,
                     CHANNEL_MOST_RANKS);
    }
    Strip strip = {c,
                   data,
                   scratch,
                   dtype == DTYPE_F32 ? MPI_FLOAT : MPI_DOUBLE,
                   dtype_size(dtype),
                   count / c->size,
                   0,
                   0};
    int64_t most = TREE_CHUNK_BYTES / (int64_t)strip.element / c->size;
    for (; strip.first < strip.part; strip.first += most) {
        strip.count = (int)(strip.part - strip.first < most ? strip.part - strip.first : most);
        TRY(strip_sum(&strip, flags, flags + c->size));
    }
    return OK;
}

/* Every link is busy in every round. A power of two of ranks exchanges parts in pairs: over a slow
 * network that is a fifth faster than rings of rank + k and rank - k, in which the acknowledgements
 * of a message wait behind the rank's own data for the next one (docs/results/many_ranks.md). */
Status channel_gather_parts(const Channel *c, void *data, size_t bytes) {
    const size_t most = (size_t)1 << 30;
    const bool in_pairs = (c->size & (c->size - 1)) == 0;
    for (int k = 1; k < c->size; k++) {
        int to = in_pairs ? c->rank ^ k : (c->rank + k) % c->size,
            from = in_pairs ? to : (c->rank + c->size - k) % c->size;
        for (size_t done = 0; done < bytes; done += most) {
            Requests requests = {.channel = c};
            int n = (int)(bytes - done < most ? bytes - done : most);
            unsigned char *at = (unsigned char *)data + done;
            TRY(receive(&requests, at + (size_t)from * bytes, n, MPI_BYTE, from, 0));
            TRY(send(&requests, at + (size_t)c->rank * bytes, n, MPI_BYTE, to, 0));
            TRY(requests_finish(&requests));
        }
    }
    return OK;
}
