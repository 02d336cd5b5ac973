#include "launch/run/placement.h"

#include <stdio.h>
#include <string.h>

enum { PLACE_BYTES = 320 };

static bool has_gpus(const Experiment *e) {
    return world_size(e->world) > 1 && e->device->target.kind == DEVICE_CUDA;
}

static Status places_gather(const Experiment *e, Arena *arena, char ***places) {
    char mine[PLACE_BYTES];
    snprintf(mine, sizeof mine, "%s %s %s", world_host(e->world, world_rank(e->world)),
             e->device->name, e->device->location);
    return world_gather_text(e->world, mine, arena, places);
}

/* On rank 0: the first two ranks in one place. */
static Status pairs_check(const Experiment *e, char **places, int64_t *shared) {
    for (int r = 1; r < world_size(e->world); r++) {
        for (int other = 0; other < r; other++) {
            if (strcmp(places[r], places[other]) != 0) continue;
            *shared = 1;
            if (e->config->share_gpu) return OK;
            return ERROR(STATUS_CONFIG,
                         "ranks %d and %d would share one GPU (%s); start one rank a GPU, or set "
                         "share_gpu: true",
                         other, r, places[r]);
        }
    }
    return OK;
}

Status placement_check(const Experiment *e, bool *shares) {
    *shares = false;
    if (!has_gpus(e)) return OK;
    Arena arena = {0};
    char **places = NULL;
    int64_t shared = 0;
    Status status = places_gather(e, &arena, &places);
    if (!failed(status) && places != NULL) status = pairs_check(e, places, &shared);
    arena_free(&arena);
    TRY(world_agree(e->world, status));
    TRY(world_max_i64(e->world, &shared));
    *shares = shared != 0;
    return OK;
}

Status placement_table(const Experiment *e, Arena *arena, char **out) {
    *out = arena_strdup(arena, "");
    if (!has_gpus(e)) return OK;
    char **places = NULL;
    TRY(places_gather(e, arena, &places));
    for (int r = 0; places != NULL && r < world_size(e->world) && *out != NULL; r++) {
        *out = arena_printf(arena, "%s%srank %d: %s", *out, r > 0 ? "\n" : "", r, places[r]);
    }
    const char *note = e->gpu == NULL ? "" : gpu_collectives_note(e->gpu);
    if (*out != NULL && note[0] != '\0')
        *out = arena_printf(arena, "%s\nthe GPUs sum through NCCL alone: %s", *out, note);
    return OK;
}
