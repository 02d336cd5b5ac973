/* mpi_reduce check|hash|speed: the collectives of dist/ on every rank; run by test_world.py. */
#include "core/base/clock.h"
#include "dist/mpi_collectives.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MICRO_BATCHES = 8, MOST = 700001 };

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return ERROR(STATUS_FAILURE, "%s:%d: not so: %s", __FILE__, __LINE__, #condition);     \
    } while (0)

static double random_value(int64_t stream, int64_t i) {
    uint64_t x = (uint64_t)stream * 0x9E3779B97F4A7C15u + (uint64_t)i * 0xD1B54A32D192ED03u + 1;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return (double)((x ^ (x >> 31)) >> 11) * 0x1p-53 - 0.5;
}

/* The sum of the values of streams [from, from + n), n a power of two, as a binary tree in f32. */
static float tree(int from, int n, int64_t i) {
    return n == 1 ? (float)random_value(from, i)
                  : tree(from, n / 2, i) + tree(from + n / 2, n / 2, i);
}

/* The expected bits of the sum over ranks. */
static float wanted(int size, int64_t i) {
    if (size == 3)
        return ((float)random_value(0, i) + (float)random_value(2, i)) + (float)random_value(1, i);
    return tree(0, size, i);
}

static Status check_f32(const Collectives *c, float *data, int64_t count) {
    for (int64_t i = 0; i < count; i++) data[i] = (float)random_value(c->rank, i);
    TRY(c->all_reduce_start(c->self, data, count, DTYPE_F32, "all_reduce of floats", NULL));
    TRY(c->wait(c->self, 0, NULL));
    for (int64_t i = 0; i < count; i++) EXPECT(data[i] == wanted(c->size, i));
    return OK;
}

static Status check_f64(const Collectives *c, double *data, int64_t count) {
    for (int64_t i = 0; i < count; i++) data[i] = (double)(i * (c->rank + 1));
    TRY(c->all_reduce_start(c->self, data, count, DTYPE_F64, "all_reduce of doubles", NULL));
    TRY(c->wait(c->self, 0, NULL));
    for (int64_t i = 0; i < count; i++)
        EXPECT(data[i] == (double)(i * c->size * (c->size + 1) / 2));
    return OK;
}

/* The parts of a sharded sum equal those of the whole sum in every bit; strips of a part may end
 * anywhere. */
static Status check_parts(const Collectives *c, float *data, int64_t part) {
    int64_t count = part * c->size, first = part * c->rank;
    for (int64_t i = 0; i < count; i++) data[i] = (float)random_value(c->rank, i);
    TRY(c->reduce_scatter_start(c->self, data, count, DTYPE_F32, "reduce_scatter of floats", NULL));
    TRY(c->wait(c->self, 0, NULL));
    for (int64_t i = 0; i < part; i++) EXPECT(data[first + i] == wanted(c->size, first + i));
    return OK;
}

/* Gathers parts of any dtype; a wait may leave the later one pending. */
static Status check_gather(const Collectives *c, unsigned char *data, int64_t part, DType dtype) {
    size_t bytes = (size_t)part * dtype_size(dtype);
    memset(data, 0xEE, bytes * (size_t)c->size * 2);
    for (int half = 0; half < 2; half++) {
        unsigned char *from = data + (size_t)half * bytes * (size_t)c->size;
        for (size_t i = 0; i < bytes; i++) {
            from[(size_t)c->rank * bytes + i] =
                (unsigned char)(7 * i + 31 * (size_t)(c->rank + half));
        }
        TRY(c->all_gather_start(c->self, from, part * c->size, dtype, "all_gather of parts", NULL));
    }
    for (int half = 0; half < 2; half++) {
        TRY(c->wait(c->self, 1 - half, NULL));
        const unsigned char *all = data + (size_t)half * bytes * (size_t)c->size;
        for (int r = 0; r < c->size; r++) {
            for (size_t i = 0; i < bytes; i++) {
                EXPECT(all[(size_t)r * bytes + i] ==
                       (unsigned char)(7 * i + 31 * (size_t)(r + half)));
            }
        }
    }
    return OK;
}

/* More reductions than the queue holds, while this thread continues. */
static Status check_queue(const Collectives *c, float *data) {
    enum { N = 300, EACH = 1000 };
    for (int i = 0; i < N * EACH; i++) data[i] = (float)(c->rank + i % EACH);
    for (int b = 0; b < N; b++) {
        c->progress(c->self, "backward");
        TRY(c->all_reduce_start(c->self, data + b * EACH, EACH, DTYPE_F32, "all_reduce of a bucket",
                                NULL));
    }
    TRY(c->wait(c->self, 0, NULL));
    for (int i = 0; i < N * EACH; i++) {
        EXPECT(data[i] == (float)(c->size * (i % EACH) + c->size * (c->size - 1) / 2));
    }
    return OK;
}

static Status check(const Collectives *c, void *memory) {
    const int64_t counts[] = {0, 1, 2, 3, 5, 1023, 262144, MOST};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        TRY(check_f32(c, memory, counts[i]));
        TRY(check_f64(c, memory, counts[i]));
    }
    const int64_t parts[] = {0, 1, 3, 1000, 163841};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        TRY(check_parts(c, memory, parts[i]));
        TRY(check_gather(c, memory, parts[i], DTYPE_BF16));
        TRY(check_gather(c, memory, parts[i] / 2, DTYPE_F32));
    }
    TRY(check_queue(c, memory));
    EXPECT(c->size == 1 ||
           c->reduce_scatter_start(c->self, memory, c->size + 1, DTYPE_F32, "x", NULL).code ==
               STATUS_FAILURE);
    EXPECT(c->all_reduce_start(c->self, memory, 1, DTYPE_I32, "x", NULL).code ==
           STATUS_UNSUPPORTED);
    return c->wait(c->self, 0, NULL);
}

/* Eight micro-batches divided among the ranks, each rank's summed as a tree: the same bits for 1,
 * 2, 4, 8 ranks. */
static Status hash(const Collectives *c, float *data) {
    int mine = MICRO_BATCHES / c->size;
    for (int64_t i = 0; i < MOST; i++) data[i] = tree(c->rank * mine, mine, i);
    TRY(c->all_reduce_start(c->self, data, MOST, DTYPE_F32, "all_reduce of gradients", NULL));
    TRY(c->wait(c->self, 0, NULL));
    uint64_t h = 14695981039346656037u;
    for (int64_t i = 0; i < MOST; i++) {
        uint32_t bits;
        memcpy(&bits, &data[i], sizeof bits);
        h = (h ^ bits) * 1099511628211u;
    }
    printf("hash %016llx\n", (unsigned long long)h);
    return OK;
}

/* Prints MB/s for one bucket of 25 MiB, and nanoseconds of a progress call. */
static Status speed(const Collectives *c) {
    const int64_t count = (25 << 20) / 4;
    float *data = calloc((size_t)count, sizeof *data);
    if (data == NULL) return ERROR(STATUS_FAILURE, "out of memory");
    double best = 1e9;
    for (int i = 0; i < 10; i++) {
        double start = clock_seconds();
        TRY(c->all_reduce_start(c->self, data, count, DTYPE_F32, "all_reduce of a bucket", NULL));
        TRY(c->wait(c->self, 0, NULL));
        if (clock_seconds() - start < best) best = clock_seconds() - start;
    }
    double start = clock_seconds();
    for (int i = 0; i < 10000000; i++) c->progress(c->self, "layernorm_forward_cpu");
    double each = (clock_seconds() - start) * 1e2;
    if (c->rank == 0)
        printf("25 MiB in %.2f ms, %.0f MB/s; progress %.1f ns\n", 1e3 * best, 26.2144 / best,
               each);
    free(data);
    return OK;
}

static Status run(const Collectives *c, const char *mode) {
    void *memory = malloc(MOST * sizeof(double));
    if (memory == NULL) return ERROR(STATUS_FAILURE, "out of memory");
    Status status = ERROR(STATUS_USAGE, "no mode '%s'", mode);
    if (strcmp(mode, "check") == 0) status = check(c, memory);
    if (strcmp(mode, "hash") == 0) status = hash(c, memory);
    if (strcmp(mode, "speed") == 0) status = speed(c);
    free(memory);
    return status;
}

int main(int argc, char **argv) {
    World *world = NULL;
    Watchdog *watchdog = NULL;
    MpiCollectives *collectives = NULL;
    WatchdogOptions options = watchdog_defaults();
    Status status = world_create(&argc, &argv, &world);
    if (failed(status)) return status_report(argv[0], status);
    status = watchdog_create(world, &options, &watchdog);
    if (!failed(status)) status = mpi_collectives_create(world, watchdog, &collectives);
    status = world_agree(world, status);
    if (!failed(status)) {
        Collectives table = mpi_collectives_table(collectives);
        status = run(&table, argc > 1 ? argv[1] : "");
    }
    if (failed(status)) world_abort(world, status);
    mpi_collectives_destroy(&collectives);
    watchdog_destroy(&watchdog);
    world_destroy(&world);
    return 0;
}
