/* mpi_world MODE: tests one part of dist/world.h on every rank; run by test_world.py. Exit code 0
 * if all checks pass. */
#include "dist/watchdog.h"
#include "dist/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return ERROR(STATUS_FAILURE, "%s:%d: not so: %s", __FILE__, __LINE__, #condition);     \
    } while (0)

static Status collectives(World *world) {
    int rank = world_rank(world), size = world_size(world);
    Arena arena = {0};
    int64_t least = 10 - rank, greatest = (int64_t)1 << (rank + 32);
    double sums[300];
    for (int i = 0; i < 300; i++) sums[i] = i + rank;
    unsigned char bytes[100000];
    memset(bytes, rank == 0 ? 7 : 0, sizeof bytes);
    char text[64], *config = NULL, **texts = NULL;
    snprintf(text, sizeof text, "text of rank %d", rank);

    TRY(world_barrier(world));
    TRY(world_min_i64(world, &least));
    TRY(world_max_i64(world, &greatest));
    EXPECT(least == 10 - (size - 1) && greatest == (int64_t)1 << (size - 1 + 32));
    TRY(world_sum_f64(world, sums, 300));
    for (int i = 0; i < 300; i++) EXPECT(sums[i] == (double)(i * size + size * (size - 1) / 2));
    TRY(world_broadcast(world, bytes, sizeof bytes));
    for (size_t i = 0; i < sizeof bytes; i++) EXPECT(bytes[i] == 7);
    TRY(world_broadcast_text(world, rank == 0 ? "name: tiny\n" : NULL, &arena, &config));
    EXPECT(strcmp(config, "name: tiny\n") == 0);
    TRY(world_gather_text(world, text, &arena, &texts));
    EXPECT((texts != NULL) == (rank == 0));
    for (int r = 0; rank == 0 && r < size; r++) {
        snprintf(text, sizeof text, "text of rank %d", r);
        EXPECT(strcmp(texts[r], text) == 0);
    }
    EXPECT(world_local_size(world) == size && world_local_rank(world) == rank);
    EXPECT(strlen(world_host(world, size - 1)) > 0 &&
           strcmp(world_program(world), "mpi_world") == 0);
    arena_free(&arena);
    return OK;
}

/* Ranks from 1 on fail (and rank 0 if it is alone): the message names the lowest. */
static Status disagree(World *world) {
    int rank = world_rank(world);
    TRY(world_agree(world, OK));
    Status mine = OK;
    if (rank > 0 || world_size(world) == 1)
        mine = ERROR(STATUS_DATA, "val.bin: truncated, says %d", rank);
    return world_agree(world, mine);
}

static Status run(World *world, const char *mode) {
    if (strcmp(mode, "collectives") == 0) return collectives(world);
    if (strcmp(mode, "disagree") == 0) return disagree(world);
    if (strcmp(mode, "abort") == 0) {
        if (world_rank(world) == world_size(world) - 1)
            world_abort(world, ERROR(STATUS_CONFIG, "it does not fit"));
        return world_barrier(world);
    }
    return ERROR(STATUS_USAGE, "no mode '%s'", mode);
}

int main(int argc, char **argv) {
    World *world = NULL;
    Watchdog *watchdog = NULL;
    Status status = world_create(&argc, &argv, &world);
    if (failed(status)) return status_report(argv[0], status);
    WatchdogOptions options = watchdog_defaults();
    status = watchdog_create(world, &options, &watchdog);
    if (!failed(status)) status = run(world, argc > 1 ? argv[1] : "");
    int code = world_report(world, status);
    watchdog_destroy(&watchdog);
    world_destroy(&world);
    return code;
}
