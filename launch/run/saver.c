#include "launch/run/saver.h"

#include "checkpoints/writer.h"
#include "launch/run/saver_memory.h"
#include "launch/run/state_contents.h"
#include "launch/run/state_values.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct Saver {
    const Experiment *e;
    Arena arena;
    CheckpointWriter *writer;
    CheckpointContents contents;
    StateValues values;
    const char *folder;
    void *host[STATE_KINDS_MAX]; /* the state of the whole model: a copy, or on the CPU the section
                                    itself */
    bool owns[STATE_KINDS_MAX];
    void *scales[FLOAT8_TENSORS]; /* copies; NULL without eight-bit training */
};

static Status host_create(Saver *saver) {
    const Experiment *e = saver->e;
    for (int kind = 0; kind < parameters_state_count(e->recorded.parameters); kind++) {
        saver->owns[kind] = saver_is_copied(e->recorded.parameters, e->device->target.kind, kind);
        if (saver->owns[kind])
            TRY(device_host_alloc(e->device, saver_state_bytes(e->recorded.parameters, kind),
                                  &saver->host[kind]));
        else
            saver->host[kind] = parameters_state(e->recorded.parameters, kind)->buffer.data;
    }
    return OK;
}

/* Starts the copies; those of sharded states are already here (saver_gather). */
static Status copies_start(Saver *saver) {
    const Experiment *e = saver->e;
    for (int kind = 0; kind < parameters_state_count(e->recorded.parameters); kind++) {
        const Section *section = parameters_state(e->recorded.parameters, kind);
        if (!saver->owns[kind] || parameters_is_sharded(e->recorded.parameters, kind)) continue;
        TRY(device_copy_start(e->device, saver->host[kind], section->flat));
    }
    return OK;
}

/* Sends this rank's shard of every bucket to rank 0, and all of them to `partner`. The shards of a
 * bucket are in the order of the ranks. */
static Status shards_gather(const Experiment *e, int kind, void *buffer, char *host, int partner) {
    const Parameters *parameters = e->recorded.parameters;
    int64_t each = (int64_t)dtype_size(parameters_state(parameters, kind)->dtype);
    for (int b = 0; b < parameters->n_buckets; b++) {
        ElementRange bucket = parameters_state_bucket(parameters, kind, b);
        if (bucket.count == 0) continue;
        Tensor shard = state_shard(parameters, kind, b);
        TRY(device_download(e->device, buffer, &shard));
        char *whole = host == NULL ? NULL : host + bucket.first * each;
        TRY(world_gather(e->world, buffer, tensor_bytes(&shard), whole));
        if (partner >= 0) TRY(world_send(e->world, whole, (size_t)(bucket.count * each), partner));
    }
    return OK;
}

Status saver_gather(Saver *saver, const Experiment *e, int partner) {
    const Parameters *parameters = e->recorded.parameters;
    if (!parameters->sharding.is_sharded) return OK;
    saver_copy_rest(saver); /* the previous one is copied from where this one goes */
    int64_t most = 0;
    for (int s = 0; s < parameters->n_buckets; s++) {
        if (parameters->buckets[s].count > most) most = parameters->buckets[s].count;
    }
    size_t each = dtype_size(parameters->grads->dtype);
    void *buffer = malloc((size_t)(most / parameters->sharding.ranks) * each);
    Status status = world_agree(e->world, buffer != NULL ? OK : OUT_OF_MEMORY("a checkpoint"));
    for (int kind = 0; kind < parameters_state_count(parameters) && !failed(status); kind++) {
        if (!parameters_is_sharded(parameters, kind)) continue;
        status = shards_gather(e, kind, buffer, saver == NULL ? NULL : saver->host[kind], partner);
    }
    free(buffer);
    return status;
}

Status saver_folder(const char *directory, Arena *arena, const char **out) {
    *out = arena_printf(arena, "%s/checkpoints", directory);
    if (*out == NULL) return OUT_OF_MEMORY("a saver");
    if (mkdir(*out, 0777) == 0 || errno == EEXIST) return OK;
    return ERROR(STATUS_FAILURE, "%s: %s", *out, strerror(errno));
}

static Status saver_build(Saver *saver, const char *directory) {
    const Experiment *e = saver->e;
    size_t bytes;
    TRY(saver_folder(directory, &saver->arena, &saver->folder));
    TRY(host_create(saver));
    TRY(state_describe(e->recorded.parameters, saver->host, &saver->arena, &saver->contents));
    TRY(state_add_scales(e, &saver->arena, saver->scales, &saver->contents));
    TRY(state_values_create(e, &saver->values));
    state_copied_from(e->device, &saver->contents);
    saver->contents.values = saver->values.list;
    saver->contents.n_values = saver->values.count;
    TRY(checkpoint_image_bytes(&saver->contents, &bytes));
    return checkpoint_writer_create(bytes, &saver->writer);
}

Status saver_create(const Experiment *e, const char *directory, Saver **out) {
    Saver *saver = calloc(1, sizeof *saver);
    if (saver == NULL) return OUT_OF_MEMORY("a saver");
    saver->e = e;
    *out = saver;
    return saver_build(saver, directory);
}

static Status start(Saver *saver, const Progress *progress, const char *folder,
                    CheckpointKeep keep) {
    saver_copy_rest(saver);                              /* of the previous one */
    TRY(state_download_scales(saver->e, saver->scales)); /* before the large copies */
    TRY(copies_start(saver));
    state_values_set(&saver->values, saver->e, progress);
    saver->contents.n_values = saver->values.count;
    return checkpoint_writer_save(saver->writer, &saver->contents, folder, progress->step, keep);
}

CheckpointKeep saver_keep(const Config *config, const Progress *progress) {
    const ConfigCheckpoint *wanted = &config->checkpoint;
    return (CheckpointKeep){(int)wanted->keep, wanted->best ? progress->best_step : -1, false};
}

Status saver_start(Saver *saver, const Progress *progress) {
    if (saver == NULL) return OK;
    return start(saver, progress, saver->folder, saver_keep(saver->e->config, progress));
}

Status saver_start_memory(Saver *saver, const Progress *progress, const char *folder) {
    return saver == NULL ? OK
                         : start(saver, progress, folder,
                                 (CheckpointKeep){.newest = 1, .best = -1, .in_memory = true});
}

void saver_copy_rest(const Saver *saver) {
    if (saver != NULL) checkpoint_writer_copy_rest(saver->writer);
}

bool saver_is_idle(const Saver *saver) {
    return saver == NULL || checkpoint_writer_is_idle(saver->writer);
}

Status saver_missed(const Saver *saver) {
    return saver == NULL ? OK : checkpoint_writer_missed(saver->writer);
}

Status saver_finish(Saver *saver) {
    return saver == NULL ? OK : checkpoint_writer_wait(saver->writer);
}

void saver_destroy(Saver **saver) {
    if (saver == NULL || *saver == NULL) return;
    checkpoint_writer_destroy(&(*saver)->writer);
    for (int kind = 0; kind < STATE_KINDS_MAX; kind++) {
        if (!(*saver)->owns[kind]) continue;
        device_host_free((*saver)->e->device, (*saver)->host[kind],
                         saver_state_bytes((*saver)->e->recorded.parameters, kind));
    }
    arena_free(&(*saver)->arena);
    state_values_free(&(*saver)->values);
    free(*saver);
    *saver = NULL;
}
