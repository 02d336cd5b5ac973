#include "dist/network.h"

#include "core/cuda/peer.h"
#include "dist/channel.h"

#include <math.h>
#include <stdbool.h>

/* Between H200 with 18 links of NVLink. */
static const double NCCL_INSIDE = 324e9, COPIES_INSIDE = 358e9, COPIES_LATENCY = 38e-6;
static const double MEMORY = 4e9; /* messages between ranks of a host with CPUs, and their sum */
/* The payload of frames of 1,514 bytes, less the acknowledgements of the other direction. */
static const double FRAMES = 0.93;
static const double MESSAGE_INSIDE = 60e-6, MESSAGE_BETWEEN = 300e-6; /* waits poll: channel.c */

static int64_t ranks_per_host(const Network *n) { return n->ranks / n->hosts; }

/* ---- GPUs ------------------------------------------------------------------------------------ */

/* Seconds of a call and of each step inside a host and between hosts; the share of the bandwidth
 * that carries data. */
typedef struct Protocol {
    double call, inside, between, share;
} Protocol;

static const Protocol rings[] = {{6.6e-6, 0.6e-6, 2.7e-6, 0.25}, {8.4e-6, 3.4e-6, 14e-6, 1}},
                      trees[] = {{6.8e-6, 0.6e-6, 5e-6, 0.25}, {8.4e-6, 4e-6, 14e-6, 0.92}};

static double ring_seconds(const Network *n, const Protocol *p, CollectiveKind kind, double bytes,
                           double bandwidth) {
    double rounds = kind == COLLECTIVE_ALL_REDUCE ? 2 : 1, steps = (double)(n->ranks - 1),
           crossing = (double)(n->hosts - 1);
    return p->call + rounds * ((steps - crossing) * p->inside + crossing * p->between +
                               bytes * steps / (double)n->ranks / (p->share * bandwidth));
}

static double tree_seconds(const Network *n, const Protocol *p, double bytes, double bandwidth) {
    double inside = (double)(ranks_per_host(n) - 1), crossing = floor(log2((double)n->hosts));
    return p->call + 2 * (inside * p->inside + crossing * p->between) +
           2 * bytes / (p->share * bandwidth);
}

static double nccl_seconds(const Network *n, CollectiveKind kind, double bytes) {
    double bandwidth = INFINITY, least = INFINITY;
    if (ranks_per_host(n) > 1) bandwidth = NCCL_INSIDE;
    if (n->hosts > 1) bandwidth = fmin(bandwidth, n->bytes_per_s);
    for (int i = 0; i < 2; i++) {
        least = fmin(least, ring_seconds(n, &rings[i], kind, bytes, bandwidth));
        if (kind == COLLECTIVE_ALL_REDUCE)
            least = fmin(least, tree_seconds(n, &trees[i], bytes, bandwidth));
    }
    return least;
}

static double copies_seconds(const Network *n, CollectiveKind kind, double bytes) {
    double share = (double)(n->ranks - 1) / (double)n->ranks,
           halves = kind == COLLECTIVE_ALL_REDUCE ? 2 : 1;
    return halves * (COPIES_LATENCY / 2 + bytes * share / COPIES_INSIDE);
}

/* Bytes of a reduce-scatter: read by other ranks, received, read and written by the sum; of an
 * all-gather: read by other ranks, received. */
static double memory_bytes(const Network *n, CollectiveKind kind, double bytes) {
    double ranks = (double)n->ranks, moved = 2 * bytes * (ranks - 1) / ranks,
           summed = bytes * (ranks + 1) / ranks;
    if (kind == COLLECTIVE_ALL_REDUCE) return 2 * moved + summed;
    return kind == COLLECTIVE_REDUCE_SCATTER ? moved + summed : moved;
}

static CollectiveCost gpu_cost(const Network *n, CollectiveKind kind, double bytes) {
    bool copies = n->hosts == 1 && n->ranks <= PEER_MOST_RANKS && bytes >= PEER_LEAST_BYTES;
    return (CollectiveCost){.seconds = copies ? copies_seconds(n, kind, bytes)
                                              : nccl_seconds(n, kind, bytes),
                            .bytes = memory_bytes(n, kind, bytes)};
}

/* ---- CPUs ------------------------------------------------------------------------------------ */

/* Ranks exchange `bytes` with others, all at the same time, `crossing` of a host with other
 * hosts. */
static double exchange_seconds(const Network *n, int64_t crossing, double bytes) {
    if (crossing == 0) return MESSAGE_INSIDE + bytes / MEMORY;
    return MESSAGE_BETWEEN + bytes * (double)crossing / (FRAMES * n->bytes_per_s);
}

/* The most ranks of a host that exchange with ranks of other hosts, if rank r < `power` exchanges
 * with rank r ^ `distance`. */
static int64_t crossing_ranks(const Network *n, int64_t power, int64_t distance) {
    int64_t per_host = ranks_per_host(n), most = 0, here = 0;
    if (n->hosts == 1) return 0;
    if ((per_host & (per_host - 1)) == 0) return distance < per_host ? 0 : per_host;
    for (int64_t r = 0; r < power; r++) {
        if (r % per_host == 0) here = 0;
        here += (r ^ distance) / per_host != r / per_host;
        if (here > most) most = here;
    }
    return most;
}

/* The halving over the ranks below the largest power of two. The first `extra` of them begin late,
 * because they first add the data of the ranks beyond it. */
typedef struct Halving {
    CollectiveKind kind;
    int64_t power, extra, parts; /* a part per rank */
} Halving;

/* Whether the ranks that end last meet ranks that have waited for them: at every distance at which
 * the late ranks are no whole blocks of exchanging ranks. */
static bool takes_turns(const Halving *h, int64_t distance) {
    return h->extra % (2 * distance) != 0;
}

/* The share of a chunk whose time an exchange takes. In turns, the first message of the rank that
 * has waited goes first: it fills the connection, and behind it stands Open MPI's request for the
 * other rank's data. A sum of all data is one message. A sum of parts has a message per part, those
 * beyond the power of two with the first ones. */
static double halving_share(const Halving *h, int64_t distance, bool turns) {
    if (h->kind == COLLECTIVE_ALL_REDUCE) return (turns ? 1 : 0.5) / (double)distance;
    int64_t blocks = (h->power + h->extra) / (2 * distance), rest = h->extra % (2 * distance),
            to_late = blocks + (rest > 0), from_late = blocks + (rest > distance);
    int64_t most = turns && from_late + 1 > to_late ? from_late + 1 : to_late;
    return (double)most / (double)h->parts;
}

/* The halving of a chunk, or the halving and the way back; ranks beyond the largest power of two
 * add theirs before, and get their part or the result at the end. */
static double chunk_seconds(const Network *n, CollectiveKind kind, double bytes) {
    int64_t power = 1, per_host = ranks_per_host(n);
    while (2 * power <= n->ranks) power *= 2;
    const Halving h = {kind, power, n->ranks - power, n->ranks};
    bool returns = kind == COLLECTIVE_ALL_REDUCE;
    double seconds = 0, result = returns ? bytes : bytes / (double)n->ranks;
    for (int64_t distance = 1; distance < power; distance *= 2) {
        int64_t crossing = crossing_ranks(n, power, distance);
        bool turns = crossing > 0 && takes_turns(&h, distance);
        seconds += exchange_seconds(n, crossing, bytes * halving_share(&h, distance, turns));
        if (returns) seconds += exchange_seconds(n, crossing, bytes / (double)(2 * distance));
    }
    int64_t crossing = n->hosts == 1 ? 0 : h.extra < per_host ? h.extra : per_host;
    if (h.extra == 0) return seconds;
    return seconds + exchange_seconds(n, crossing, bytes) + exchange_seconds(n, crossing, result);
}

static double sum_seconds(const Network *n, CollectiveKind kind, double bytes) {
    double whole = floor(bytes / TREE_CHUNK_BYTES), rest = bytes - whole * TREE_CHUNK_BYTES;
    double seconds = whole * chunk_seconds(n, kind, TREE_CHUNK_BYTES);
    return rest > 0 ? seconds + chunk_seconds(n, kind, rest) : seconds;
}

/* In pairs or rings, as channel_gather_parts. */
static double gather_seconds(const Network *n, double bytes) {
    double seconds = 0, part = bytes / (double)n->ranks;
    int64_t per_host = ranks_per_host(n);
    bool in_pairs = (n->ranks & (n->ranks - 1)) == 0;
    for (int64_t k = 1; k < n->ranks && in_pairs; k++)
        seconds += exchange_seconds(n, crossing_ranks(n, n->ranks, k), part);
    for (int64_t k = 1; k < n->ranks && !in_pairs; k++) {
        int64_t nearest = k < n->ranks - k ? k : n->ranks - k,
                crossing = nearest < per_host ? nearest : per_host;
        seconds += exchange_seconds(n, n->hosts == 1 ? 0 : crossing, part);
    }
    return seconds;
}

CollectiveCost network_cost(const void *network, CollectiveKind kind, size_t bytes) {
    const Network *n = network;
    double size = (double)bytes;
    if (n->ranks < 2) return (CollectiveCost){0};
    if (n->device == DEVICE_CUDA) return gpu_cost(n, kind, size);
    return (CollectiveCost){.seconds = kind == COLLECTIVE_ALL_GATHER ? gather_seconds(n, size)
                                                                     : sum_seconds(n, kind, size)};
}
