#include "launch/run/shard_saver.h"

#include "checkpoints/writer.h"
#include "launch/run/saver.h"
#include "launch/run/saver_memory.h"
#include "launch/run/state_contents.h"
#include "launch/run/state_values.h"

#include <stdlib.h>
#include <string.h>

struct ShardSaver {
    const Experiment *e;
    Arena arena;
    CheckpointWriter *writer;
    CheckpointContents parts, whole; /* whole: rank 0's, for the manifest */
    StateValues values;              /* rank 0's */
    const char *folder;
    void *host[STATE_KINDS_MAX]; /* copies of this rank's shards; NULL on the CPU */
    void *scales[FLOAT8_TENSORS];
};

static bool leads(const ShardSaver *saver) { return world_rank(saver->e->world) == 0; }

static ShardedSave save_of(const ShardSaver *saver, int64_t step) {
    return (ShardedSave){.dir = saver->folder, .step = step, .shards = world_size(saver->e->world)};
}

/* Begins a save on rank 0, and tells the others its id. Collective. */
static Status save_begin(const ShardSaver *saver, int64_t step, ShardedSave *out) {
    World *world = saver->e->world;
    *out = save_of(saver, step);
    TRY(world_agree(world, leads(saver) ? shards_begin(out) : OK));
    return world_broadcast(world, &out->id, sizeof out->id);
}

/* Whether all ranks write into the same directory. */
static Status directory_check(const ShardSaver *saver) {
    World *world = saver->e->world;
    ShardedSave save;
    TRY(save_begin(saver, 0, &save));
    Status status = shards_is_visible(&save)
                        ? OK
                        : ERROR(STATUS_CONFIG,
                                "%s: what rank 0 writes there is not visible on %s; put `output` "
                                "on a file system that all hosts share, or set "
                                "checkpoint.sharded: false",
                                saver->folder, world_host(world, world_rank(world)));
    status = world_agree(world, status);
    if (leads(saver)) shards_give_up(&save);
    return status;
}

static size_t shard_bytes(const ShardSaver *saver, int kind) {
    const Parameters *parameters = saver->e->recorded.parameters;
    return saver_state_bytes(parameters, kind) / (size_t)parameters->sharding.ranks;
}

static Status host_create(ShardSaver *saver) {
    const Experiment *e = saver->e;
    if (e->device->target.kind == DEVICE_CPU) return OK;
    for (int kind = 0; kind < parameters_state_count(e->recorded.parameters); kind++) {
        TRY(device_host_alloc(e->device, shard_bytes(saver, kind), &saver->host[kind]));
    }
    return OK;
}

static Status copies_start(ShardSaver *saver) {
    const Experiment *e = saver->e;
    const Parameters *parameters = e->recorded.parameters;
    for (int kind = 0; kind < parameters_state_count(parameters); kind++) {
        char *host = saver->host[kind];
        for (int b = 0; host != NULL && b < parameters->n_buckets; b++) {
            Tensor shard = state_shard(parameters, kind, b);
            size_t place = (size_t)state_shard_place(parameters, kind, b) * dtype_size(shard.dtype);
            if (shard.shape[0] > 0) TRY(device_copy_start(e->device, host + place, &shard));
        }
    }
    return OK;
}

/* What rank 0 has beside its shard of the states: the values, and the scales, which are equal on
 * all ranks. */
static Status manifest_create(ShardSaver *saver) {
    const Experiment *e = saver->e;
    void *const nowhere[STATE_KINDS_MAX] = {NULL};
    TRY(state_describe(e->recorded.parameters, nowhere, &saver->arena, &saver->whole));
    TRY(state_add_scales(e, &saver->arena, saver->scales, &saver->whole));
    TRY(state_add_scales(e, &saver->arena, saver->scales, &saver->parts));
    return state_values_create(e, &saver->values);
}

static Status saver_build(ShardSaver *saver) {
    size_t bytes;
    TRY(host_create(saver));
    TRY(state_describe_parts(saver->e->recorded.parameters, saver->host, &saver->arena,
                             &saver->parts));
    state_copied_from(saver->e->device, &saver->parts);
    if (leads(saver)) TRY(manifest_create(saver));
    TRY(checkpoint_image_bytes(&saver->parts, &bytes));
    return checkpoint_writer_create(bytes, &saver->writer);
}

Status shard_saver_create(const Experiment *e, const char *directory, ShardSaver **out) {
    World *world = e->world;
    ShardSaver *saver = *out = calloc(1, sizeof *saver);
    TRY(world_agree(world, saver != NULL ? OK : OUT_OF_MEMORY("a saver")));
    saver->e = e;
    Status status = saver_folder(directory, &saver->arena, &saver->folder);
    TRY(world_agree(world, status));
    TRY(directory_check(saver));
    return world_agree(world, saver_build(saver));
}

Status shard_saver_start(ShardSaver *saver, const Progress *progress) {
    ShardedSave save;
    TRY(shard_saver_finish(saver));
    TRY(save_begin(saver, progress->step, &save));
    if (leads(saver)) {
        TRY(state_download_scales(saver->e, saver->scales));
        state_values_set(&saver->values, saver->e, progress);
        saver->whole.values = saver->values.list;
        saver->whole.n_values = saver->values.count;
    }
    TRY(copies_start(saver));
    return checkpoint_writer_save_shard(saver->writer, &save, world_rank(saver->e->world),
                                        &saver->parts, leads(saver) ? &saver->whole : NULL,
                                        saver_keep(saver->e->config, progress));
}

void shard_saver_copy_rest(const ShardSaver *saver) {
    if (saver != NULL) checkpoint_writer_copy_rest(saver->writer);
}

bool shard_saver_is_idle(const ShardSaver *saver) {
    return saver == NULL || checkpoint_writer_is_idle(saver->writer);
}

/* First the causes of failures, then the ranks that gave up because of them. */
Status shard_saver_finish(ShardSaver *saver) {
    if (saver == NULL) return OK;
    World *world = saver->e->world;
    TRY(world_agree(world, checkpoint_writer_wait(saver->writer)));
    Status status = checkpoint_writer_is_given_up(saver->writer)
                        ? ERROR(STATUS_FAILURE,
                                "%s: a checkpoint was not saved, because its temporary directory "
                                "was removed; older checkpoints are kept",
                                saver->folder)
                        : OK;
    return world_agree(world, status);
}

void shard_saver_destroy(ShardSaver **saver) {
    if (saver == NULL || *saver == NULL) return;
    checkpoint_writer_destroy(&(*saver)->writer);
    for (int kind = 0; kind < STATE_KINDS_MAX; kind++) {
        if ((*saver)->host[kind] != NULL)
            device_host_free((*saver)->e->device, (*saver)->host[kind], shard_bytes(*saver, kind));
    }
    state_values_free(&(*saver)->values);
    arena_free(&(*saver)->arena);
    free(*saver);
    *saver = NULL;
}
