#include "launch/run/placement.h"

#include <stdio.h>
#include <string.h>

enum { PLACE_BYTES = 320 };

static bool has_gpus(const World *world, const Device *device) {
    return world_size(world) > 1 && device->target.kind == DEVICE_CUDA;
}

static Status places_gather(World *world, const Device *device, Arena *arena, char ***places) {
    char mine[PLACE_BYTES];
    snprintf(mine, sizeof mine, "%s %s %s", world_host(world, world_rank(world)), device->name,
             device->location);
    return world_gather_text(world, mine, arena, places);
}

/* On rank 0: the first two ranks in one place. */
static Status pairs_check(const World *world, char **places, bool may_share, int64_t *shared) {
    for (int r = 1; r < world_size(world); r++) {
        for (int other = 0; other < r; other++) {
            if (strcmp(places[r], places[other]) != 0) continue;
            *shared = 1;
            if (may_share) return OK;
            return ERROR(STATUS_CONFIG,
                         "ranks %d and %d would share one GPU (%s); start one rank a GPU, or set "
                         "share_gpu: true",
                         other, r, places[r]);
        }
    }
    return OK;
}

Status placement_check(World *world, const Device *device, bool may_share, bool *shares) {
    *shares = false;
    if (!has_gpus(world, device)) return OK;
    Arena arena = {0};
    char **places = NULL;
    int64_t shared = 0;
    Status status = places_gather(world, device, &arena, &places);
    if (!failed(status) && places != NULL) status = pairs_check(world, places, may_share, &shared);
    arena_free(&arena);
    TRY(world_agree(world, status));
    TRY(world_max_i64(world, &shared));
    *shares = shared != 0;
    return OK;
}

Status placement_table(World *world, const Device *device, const char *note, Arena *arena,
                       char **out) {
    *out = arena_strdup(arena, "");
    if (!has_gpus(world, device)) return OK;
    char **places = NULL;
    TRY(places_gather(world, device, arena, &places));
    for (int r = 0; places != NULL && r < world_size(world) && *out != NULL; r++) {
        *out = arena_printf(arena, "%s%srank %d: %s", *out, r > 0 ? "\n" : "", r, places[r]);
    }
    if (*out != NULL && note[0] != '\0')
        *out = arena_printf(arena, "%s\nthe GPUs sum through NCCL alone: %s", *out, note);
    return OK;
}
