#include "launch/run/state.h"

#include "checkpoints/checkpoint.h"
#include "checkpoints/writer.h"
#include "launch/config/config_load.h"
#include "launch/run/saver_memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_VALUES = 20 + DATA_IDENTITY_VALUES };

/* The file's tensor of parameter `index`, STATE.PARAMETER, such as m.wte.weight; `data` points to
 * the state of the whole model on the host. */
static Status tensor_describe(const Parameters *parameters, int kind, int index, const void *data,
                              Arena *arena, CheckpointTensor *out) {
    const Parameter *parameter = parameters->list[index];
    const Tensor *weight = parameter->weight;
    ElementRange range = parameters_state_range(parameters, kind, parameter);
    bool is_double = parameters_state(parameters, kind)->dtype == DTYPE_F64;
    DType dtype = is_double ? DTYPE_F64 : DTYPE_F32; /* a file never stores a 16-bit type */
    *out = (CheckpointTensor){
        .name =
            arena_printf(arena, "%s.%s", parameters_state_name(parameters, kind), parameter->name),
        .dtype = dtype,
        .n_dims = range.count == tensor_count(weight) ? parameter->n_dims : 1};
    if (out->name == NULL)
        return ERROR(STATUS_OUT_OF_MEMORY, "out of memory for a checkpoint's list of tensors");
    for (int d = 0; d < out->n_dims; d++) out->shape[d] = parameter->shape[d];
    if (data != NULL) out->data = (const char *)data + (size_t)range.first * dtype_size(dtype);
    return OK;
}

static bool has_state(const Parameters *parameters, int kind, int index) {
    return parameters_state_range(parameters, kind, parameters->list[index]).count > 0;
}

/* The content of a file, in an arena: all states of all parameters that have them. */
static Status contents_describe(const Parameters *parameters, void *const data[STATE_KINDS_MAX],
                                Arena *arena, CheckpointContents *out) {
    int n = parameters->count, kinds = parameters_state_count(parameters);
    int64_t count = 0;
    CheckpointTensor *tensors = arena_alloc(arena, (size_t)(kinds * n) * sizeof *tensors);
    if (tensors == NULL)
        return ERROR(STATUS_OUT_OF_MEMORY, "out of memory for a checkpoint's list of tensors");
    for (int kind = 0; kind < kinds; kind++) {
        for (int i = 0; i < n; i++) {
            if (!has_state(parameters, kind, i)) continue;
            TRY(tensor_describe(parameters, kind, i, data[kind], arena, &tensors[count++]));
        }
    }
    *out = (CheckpointContents){.tensors = tensors, .n_tensors = count};
    return OK;
}

/* The scales of eight-bit training, which are the same on all ranks. */
enum { FLOAT8_TENSORS = 2 };

static bool has_scales(const Experiment *e) { return float8_is_delayed(e->f8); }

static void scales_describe(const Float8 *f8, CheckpointTensor out[FLOAT8_TENSORS],
                            const Tensor *tensors[FLOAT8_TENSORS]) {
    tensors[0] = f8->scale, tensors[1] = f8->history;
    out[0] = (CheckpointTensor){.name = "float8.scale"};
    out[1] = (CheckpointTensor){.name = "float8.history"};
    for (int i = 0; i < FLOAT8_TENSORS; i++) {
        out[i].dtype = tensors[i]->dtype;
        out[i].n_dims = tensors[i]->n_dims;
        for (int d = 0; d < out[i].n_dims; d++) out[i].shape[d] = tensors[i]->shape[d];
    }
}

struct Saver {
    const Experiment *e;
    Arena arena;
    CheckpointWriter *writer;
    CheckpointContents contents;
    CheckpointValue values[N_VALUES];
    const char *config;
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
    if (!has_scales(saver->e)) return OK;
    size_t n = (size_t)contents->n_tensors;
    CheckpointTensor *all = arena_alloc(&saver->arena, (n + FLOAT8_TENSORS) * sizeof *all);
    scales_describe(saver->e->f8, described, tensors);
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
    if (!has_scales(saver->e)) return OK;
    TRY(device_download(saver->e->device, saver->scales[0], saver->e->f8->scale));
    return device_download(saver->e->device, saver->scales[1], saver->e->f8->history);
}

static Status host_create(Saver *saver) {
    const Experiment *e = saver->e;
    for (int kind = 0; kind < parameters_state_count(e->parameters); kind++) {
        saver->owns[kind] = saver_is_copied(e->parameters, e->device->target.kind, kind);
        saver->host[kind] = saver->owns[kind] ? malloc(saver_state_bytes(e->parameters, kind))
                                              : parameters_state(e->parameters, kind)->buffer.data;
        if (saver->host[kind] == NULL)
            return ERROR(STATUS_OUT_OF_MEMORY, "out of memory for a copy of the weights");
    }
    return OK;
}

static Status host_refresh(Saver *saver) {
    const Experiment *e = saver->e;
    for (int kind = 0; kind < parameters_state_count(e->parameters); kind++) {
        const Section *section = parameters_state(e->parameters, kind);
        if (!saver->owns[kind] || parameters_is_sharded(e->parameters, kind)) continue;
        TRY(device_download(e->device, saver->host[kind], section->flat));
    }
    return OK;
}

/* Sends this rank's shard of every bucket to rank 0. The shards of a bucket are in the order of the
 * ranks. */
static Status shards_gather(const Experiment *e, int kind, void *buffer, char *host) {
    const Parameters *parameters = e->parameters;
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
    const Parameters *parameters = e->parameters;
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

static Status saver_build(Saver *saver, const char *directory, const char *config) {
    const Experiment *e = saver->e;
    size_t bytes;
    saver->config = arena_strdup(&saver->arena, config);
    char *folder = arena_printf(&saver->arena, "%s/checkpoints", directory);
    if (saver->config == NULL || folder == NULL)
        return ERROR(STATUS_OUT_OF_MEMORY, "out of memory for a saver");
    TRY(host_create(saver));
    TRY(contents_describe(e->parameters, saver->host, &saver->arena, &saver->contents));
    TRY(scales_create(saver));
    values_set(saver, &(Progress){0});
    TRY(checkpoint_image_bytes(&saver->contents, &bytes));
    return checkpoint_writer_create(folder, (int)e->config->checkpoint.keep, bytes, &saver->writer);
}

Status saver_create(const Experiment *e, const char *directory, const char *config, Saver **out) {
    Saver *saver = calloc(1, sizeof *saver);
    if (saver == NULL) return ERROR(STATUS_OUT_OF_MEMORY, "out of memory for a saver");
    saver->e = e;
    *out = saver;
    return saver_build(saver, directory, config);
}

Status saver_start(Saver *saver, const Progress *progress) {
    if (saver == NULL) return OK;
    TRY(host_refresh(saver));
    TRY(scales_refresh(saver));
    values_set(saver, progress);
    int64_t best = saver->e->config->checkpoint.best ? progress->best_step : -1;
    return checkpoint_writer_save(saver->writer, &saver->contents, progress->step, best);
}

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
    free(*saver);
    *saver = NULL;
}

/* ---- loading ---- */

static Status tensor_load(const Experiment *e, const CheckpointFile *file, int kind, int index,
                          Arena *arena) {
    CheckpointTensor wanted;
    TRY(tensor_describe(e->parameters, kind, index, NULL, arena, &wanted));
    void *values =
        malloc((size_t)tensor_count(e->parameters->list[index]->weight) * dtype_size(wanted.dtype));
    if (values == NULL)
        return ERROR(STATUS_OUT_OF_MEMORY, "out of memory while loading %s", checkpoint_path(file));
    Status status = checkpoint_read_tensor(file, &wanted, values);
    if (!failed(status)) status = parameters_write(e->parameters, e->device, kind, index, values);
    free(values);
    return status;
}

Status state_load_weights(const Experiment *e, const CheckpointFile *file, Arena *arena) {
    for (int kind = 0; kind < parameters_state_count(e->parameters); kind++) {
        for (int i = 0; i < e->parameters->count; i++) {
            if (has_state(e->parameters, kind, i)) TRY(tensor_load(e, file, kind, i, arena));
        }
    }
    return OK;
}

static Status scales_load(const Experiment *e, const CheckpointFile *file, Arena *arena) {
    const Tensor *tensors[FLOAT8_TENSORS];
    CheckpointTensor described[FLOAT8_TENSORS];
    if (!has_scales(e)) return OK;
    scales_describe(e->f8, described, tensors);
    for (int i = 0; i < FLOAT8_TENSORS; i++) {
        void *values = arena_alloc(arena, tensor_bytes(tensors[i]));
        if (values == NULL)
            return ERROR(STATUS_OUT_OF_MEMORY, "out of memory while loading %s",
                         checkpoint_path(file));
        TRY(checkpoint_read_tensor(file, &described[i], values));
        TRY(device_upload(e->device, tensors[i], values));
    }
    return OK;
}

/* *sequences: of a step of the saved run on one rank. */
static Status config_check(Experiment *e, const CheckpointFile *file, bool branches, Arena *arena,
                           int64_t *sequences, char **changes) {
    char *text = NULL;
    Config *saved = NULL;
    TRY(checkpoint_read_text(file, "config", arena, &text));
    TRY(config_load_text(text, checkpoint_path(file), 0, NULL, &saved));
    Config now = config_resolved(e->config, &e->resolved);
    Status status =
        branches ? config_compare_branch(saved, &now) : config_compare_resume(saved, &now);
    if (status.code == STATUS_CONFIG)
        status = ERROR(STATUS_CONFIG, "%s: %s", checkpoint_path(file), status_message());
    if (!failed(status)) status = config_changes(saved, &now, changes);
    *sequences = saved->data.batch_size * saved->training.gradient_accumulation_steps;
    config_destroy(&saved);
    return status;
}

/* `sequences`: of a step of the saved run on one rank. */
static Status world_check(const Experiment *e, const CheckpointFile *file, int64_t sequences) {
    int64_t world, now = experiment_tokens_per_step(e) / e->T;
    TRY(checkpoint_read_i64(file, "world_size", &world));
    /* config_check has compared the tokens of each phase. */
    if (e->config->training.batch_schedule.count > 0) return OK;
    if (world * sequences == now) return OK;
    return ERROR(
        STATUS_CONFIG,
        "%s: was trained with %lld sequences a step on %lld ranks, this run has %lld on %d; set "
        "mpirun -np, "
        "data.batch_size or training.gradient_accumulation_steps so that ranks x data.batch_size x "
        "accumulation is %lld",
        checkpoint_path(file), (long long)(world * sequences), (long long)world, (long long)now,
        world_size(e->world), (long long)(world * sequences));
}

/* Values that older versions did not save: the noise scale starts anew, the energy is unknown. */
static void measures_load(const CheckpointFile *file, Progress *p) {
    NoiseScale *noise = &p->noise;
    bool has_noise = !failed(checkpoint_read_f64(file, "noise_variance", &noise->variance)) &&
                     !failed(checkpoint_read_f64(file, "noise_square", &noise->square)) &&
                     !failed(checkpoint_read_i64(file, "noise_samples", &noise->samples));
    if (!has_noise) *noise = (NoiseScale){0};
    if (failed(checkpoint_read_f64(file, "joules", &p->joules)) && p->step > 0)
        p->joules = (double)NAN;
}

static Status progress_load(const CheckpointFile *file, Progress *p) {
    TRY(checkpoint_read_i64(file, "step", &p->step));
    TRY(checkpoint_read_i64(file, "tokens", &p->tokens));
    TRY(checkpoint_read_f64(file, "train_s", &p->train_s));
    TRY(checkpoint_read_f64(file, "best_val_loss", &p->best_val_loss));
    TRY(checkpoint_read_i64(file, "best_step", &p->best_step));
    TRY(checkpoint_read_f64(file, "val_loss", &p->val_loss));
    TRY(checkpoint_read_i64(file, "evaluated_step", &p->evaluated_step));
    TRY(checkpoint_read_f64(file, "loss_scale", &p->loss_scale.scale));
    measures_load(file, p);
    TRY(checkpoint_read_i64(file, "loss_scale_good_steps", &p->loss_scale.good_steps));
    return checkpoint_read_i64(file, "updates", &p->loss_scale.updates);
}

/* A branch has its own step number and no best evaluation yet. */
static void progress_branch(const Experiment *e, Progress *p) {
    p->step = p->tokens / experiment_tokens_per_step(e);
    p->best_step = p->evaluated_step = -1;
}

static Status contents_load(Experiment *e, const CheckpointFile *file, bool branches, Arena *arena,
                            Progress *progress, char **changes) {
    int64_t sequences;
    TRY(config_check(e, file, branches, arena, &sequences, changes));
    TRY(data_identity_expect(&e->data, file));
    TRY(progress_load(file, progress));
    if (branches)
        progress_branch(e, progress);
    else
        TRY(world_check(e, file, sequences));
    TRY(scales_load(e, file, arena));
    return state_load_weights(e, file, arena);
}

Status state_load(Experiment *e, const char *path, bool branches, Progress *progress,
                  char **changes) {
    CheckpointFile *file = NULL;
    Arena arena = {0};
    TRY(checkpoint_open(path, &file));
    Status status = contents_load(e, file, branches, &arena, progress, changes);
    checkpoint_close(&file);
    arena_free(&arena);
    return status;
}
