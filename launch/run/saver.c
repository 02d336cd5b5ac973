#include "launch/run/saver.h"

#include "checkpoints/writer.h"
#include "launch/run/saver_memory.h"
#include "launch/run/state_contents.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { N_VALUES = 20 + DATA_IDENTITY_VALUES };

struct Saver {
    const Experiment *e;
    Arena arena;
    CheckpointWriter *writer;
    CheckpointContents contents;
    CheckpointValue values[N_VALUES];
    char *config;
    const char *folder;
    void *host[STATE_KINDS_MAX]; /* the state of the whole model: a copy, or on the CPU the section
                                    itself */
    bool owns[STATE_KINDS_MAX];
    void *scales[FLOAT8_TENSORS]; /* copies; NULL without eight-bit training */
};

static CheckpointValue value_i64(const char *name, int64_t value) {
    return (CheckpointValue){.name = name, .kind = CHECKPOINT_I64, .i64 = value};
}

static CheckpointValue value_f64(const char *name, double value) {
    return (CheckpointValue){.name = name, .kind = CHECKPOINT_F64, .f64 = value};
}

static void values_set(Saver *saver, const Progress *p) {
    const Experiment *e = saver->e;
    int n = 0;
    saver->values[n++] = value_i64("step", p->step);
    saver->values[n++] = value_i64("tokens", p->tokens);
    saver->values[n++] = value_i64("samples", p->tokens / e->T);
    saver->values[n++] = value_f64("train_s", p->train_s);
    saver->values[n++] = value_f64("best_val_loss", p->best_val_loss);
    saver->values[n++] = value_i64("best_step", p->best_step);
    saver->values[n++] = value_f64("val_loss", p->val_loss);
    saver->values[n++] = value_i64("evaluated_step", p->evaluated_step);
    saver->values[n++] = value_f64("loss_scale", p->loss_scale.scale);
    saver->values[n++] = value_i64("loss_scale_good_steps", p->loss_scale.good_steps);
    saver->values[n++] = value_i64("updates", p->loss_scale.updates);
    saver->values[n++] = value_f64("noise_variance", p->noise.variance);
    saver->values[n++] = value_f64("noise_square", p->noise.square);
    saver->values[n++] = value_i64("noise_samples", p->noise.samples);
    saver->values[n++] = value_f64("joules", p->joules);
    saver->values[n++] = value_i64("seed", (int64_t)e->config->seed);
    saver->values[n++] = value_i64("world_size", world_size(e->world));
    saver->values[n++] =
        (CheckpointValue){.name = "config", .kind = CHECKPOINT_TEXT, .text = saver->config};
    saver->values[n++] = (CheckpointValue){
        .name = "tokenizer", .kind = CHECKPOINT_TEXT, .text = token_set_tokenizer(e->train_tokens)};
    saver->values[n++] =
        value_i64("tokenizer_hash", (int64_t)token_set_tokenizer_hash(e->train_tokens));
    n += data_identity_values(&e->data, &saver->values[n]);
    saver->contents.values = saver->values;
    saver->contents.n_values = n;
}

/* Adds the scales to the content of the file. */
static Status scales_create(Saver *saver) {
    const Tensor *tensors[FLOAT8_TENSORS];
    CheckpointTensor described[FLOAT8_TENSORS];
    CheckpointContents *contents = &saver->contents;
    if (!state_has_scales(saver->e)) return OK;
    size_t n = (size_t)contents->n_tensors;
    CheckpointTensor *all = arena_alloc(&saver->arena, (n + FLOAT8_TENSORS) * sizeof *all);
    state_describe_scales(saver->e->recorded.f8, described, tensors);
    for (int i = 0; i < FLOAT8_TENSORS && all != NULL; i++) {
        saver->scales[i] = arena_alloc(&saver->arena, tensor_bytes(tensors[i]));
        if (saver->scales[i] == NULL) all = NULL;
        described[i].data = saver->scales[i];
    }
    if (all == NULL)
        return ERROR(STATUS_OUT_OF_MEMORY, "out of memory for a checkpoint's list of tensors");
    memcpy(all, contents->tensors, n * sizeof *all);
    memcpy(all + n, described, sizeof described);
    contents->tensors = all;
    contents->n_tensors += FLOAT8_TENSORS;
    return OK;
}

static Status scales_refresh(const Saver *saver) {
    if (!state_has_scales(saver->e)) return OK;
    TRY(device_download(saver->e->device, saver->scales[0], saver->e->recorded.f8->scale));
    return device_download(saver->e->device, saver->scales[1], saver->e->recorded.f8->history);
}

static Status host_create(Saver *saver) {
    const Experiment *e = saver->e;
    for (int kind = 0; kind < parameters_state_count(e->recorded.parameters); kind++) {
        saver->owns[kind] = saver_is_copied(e->recorded.parameters, e->device->target.kind, kind);
        saver->host[kind] = saver->owns[kind]
                                ? malloc(saver_state_bytes(e->recorded.parameters, kind))
                                : parameters_state(e->recorded.parameters, kind)->buffer.data;
        if (saver->host[kind] == NULL)
            return ERROR(STATUS_OUT_OF_MEMORY, "out of memory for a copy of the weights");
    }
    return OK;
}

static Status host_refresh(Saver *saver) {
    const Experiment *e = saver->e;
    for (int kind = 0; kind < parameters_state_count(e->recorded.parameters); kind++) {
        const Section *section = parameters_state(e->recorded.parameters, kind);
        if (!saver->owns[kind] || parameters_is_sharded(e->recorded.parameters, kind)) continue;
        TRY(device_download(e->device, saver->host[kind], section->flat));
    }
    return OK;
}

/* Sends this rank's shard of every bucket to rank 0. The shards of a bucket are in the order of the
 * ranks. */
static Status shards_gather(const Experiment *e, int kind, void *buffer, char *host) {
    const Parameters *parameters = e->recorded.parameters;
    Section *section = parameters_state(parameters, kind);
    int64_t each = (int64_t)dtype_size(section->dtype), ranks = parameters->sharding.ranks;
    for (int b = 0; b < parameters->n_buckets; b++) {
        ElementRange bucket = parameters_state_bucket(parameters, kind, b);
        if (bucket.count == 0) continue;
        Tensor shard = {.buffer = &section->buffer,
                        .offset = (size_t)(bucket.first / ranks * each),
                        .dtype = section->dtype,
                        .n_dims = 1,
                        .shape = {bucket.count / ranks}};
        TRY(device_download(e->device, buffer, &shard));
        TRY(world_gather(e->world, buffer, tensor_bytes(&shard),
                         host == NULL ? NULL : host + bucket.first * each));
    }
    return OK;
}

Status saver_gather(Saver *saver, const Experiment *e) {
    const Parameters *parameters = e->recorded.parameters;
    if (!parameters->sharding.is_sharded) return OK;
    int64_t most = 0;
    for (int s = 0; s < parameters->n_buckets; s++) {
        if (parameters->buckets[s].count > most) most = parameters->buckets[s].count;
    }
    size_t each = dtype_size(parameters->grads->dtype);
    void *buffer = malloc((size_t)(most / parameters->sharding.ranks) * each);
    Status status = world_agree(
        e->world,
        buffer != NULL ? OK : ERROR(STATUS_OUT_OF_MEMORY, "out of memory for a checkpoint"));
    for (int kind = 0; kind < parameters_state_count(parameters) && !failed(status); kind++) {
        if (!parameters_is_sharded(parameters, kind)) continue;
        status = shards_gather(e, kind, buffer, saver == NULL ? NULL : saver->host[kind]);
    }
    free(buffer);
    return status;
}

static Status saver_build(Saver *saver, const char *directory) {
    const Experiment *e = saver->e;
    const Config resolved = config_resolved(e->config, &e->resolved);
    size_t bytes;
    saver->config = config_text(&resolved);
    saver->folder = arena_printf(&saver->arena, "%s/checkpoints", directory);
    if (saver->config == NULL || saver->folder == NULL)
        return ERROR(STATUS_OUT_OF_MEMORY, "out of memory for a saver");
    if (mkdir(saver->folder, 0777) != 0 && errno != EEXIST)
        return ERROR(STATUS_FAILURE, "%s: %s", saver->folder, strerror(errno));
    TRY(host_create(saver));
    TRY(state_describe(e->recorded.parameters, saver->host, &saver->arena, &saver->contents));
    TRY(scales_create(saver));
    values_set(saver, &(Progress){0});
    TRY(checkpoint_image_bytes(&saver->contents, &bytes));
    return checkpoint_writer_create(bytes, &saver->writer);
}

Status saver_create(const Experiment *e, const char *directory, Saver **out) {
    Saver *saver = calloc(1, sizeof *saver);
    if (saver == NULL) return ERROR(STATUS_OUT_OF_MEMORY, "out of memory for a saver");
    saver->e = e;
    *out = saver;
    return saver_build(saver, directory);
}

static Status start(Saver *saver, const Progress *progress, const char *folder,
                    CheckpointKeep keep) {
    TRY(host_refresh(saver));
    TRY(scales_refresh(saver));
    values_set(saver, progress);
    return checkpoint_writer_save(saver->writer, &saver->contents, folder, progress->step, keep);
}

Status saver_start(Saver *saver, const Progress *progress) {
    if (saver == NULL) return OK;
    const ConfigCheckpoint *wanted = &saver->e->config->checkpoint;
    CheckpointKeep keep = {(int)wanted->keep, wanted->best ? progress->best_step : -1};
    return start(saver, progress, saver->folder, keep);
}

Status saver_start_memory(Saver *saver, const Progress *progress, const char *folder) {
    return saver == NULL ? OK : start(saver, progress, folder, (CheckpointKeep){1, -1});
}

bool saver_is_idle(const Saver *saver) { return checkpoint_writer_is_idle(saver->writer); }

Status saver_finish(Saver *saver) {
    return saver == NULL ? OK : checkpoint_writer_wait(saver->writer);
}

void saver_destroy(Saver **saver) {
    if (saver == NULL || *saver == NULL) return;
    checkpoint_writer_destroy(&(*saver)->writer);
    for (int kind = 0; kind < STATE_KINDS_MAX; kind++) {
        if ((*saver)->owns[kind]) free((*saver)->host[kind]);
    }
    arena_free(&(*saver)->arena);
    free((*saver)->config);
    free(*saver);
    *saver = NULL;
}
