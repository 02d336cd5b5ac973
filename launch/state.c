#include "launch/state.h"

#include "checkpoints/checkpoint.h"
#include "checkpoints/writer.h"

#include <stdlib.h>

enum { N_SECTIONS = 3, N_VALUES = 15 };

/* The sections that are state, and what their tensors' names begin with. */
typedef struct StateSections {
    const char *prefix[N_SECTIONS];
    Section *section[N_SECTIONS];
} StateSections;

static StateSections sections_of(const Parameters *parameters) {
    Section *weights = parameters->masters == NULL ? parameters->weights : parameters->masters;
    return (StateSections){{"weights", "m", "v"}, {weights, parameters->m, parameters->v}};
}

/* What goes into a file, in an arena; `data[i]` is where the host finds section i. */
static Status contents_describe(const Experiment *e, void *const data[N_SECTIONS], Arena *arena,
                                CheckpointContents *out) {
    StateSections sections = sections_of(e->parameters);
    int64_t count = 0, room = 0;
    for (int s = 0; s < N_SECTIONS; s++) room += sections.section[s]->n_entries;
    CheckpointTensor *tensors = arena_alloc(arena, (size_t)room * sizeof *tensors);
    if (tensors == NULL) return ERROR(STATUS_FAILURE, "out of memory for a checkpoint's list of tensors");
    for (int s = 0; s < N_SECTIONS; s++) {
        for (int i = 0; i < sections.section[s]->n_entries; i++) {
            const StoreEntry *entry = &sections.section[s]->entries[i];
            CheckpointTensor *t = &tensors[count++];
            *t = (CheckpointTensor){.name = arena_printf(arena, "%s.%s", sections.prefix[s], entry->name),
                                    .dtype = entry->tensor->dtype,
                                    .n_dims = entry->tensor->n_dims};
            if (t->name == NULL) return ERROR(STATUS_FAILURE, "out of memory for a checkpoint's list of tensors");
            for (int d = 0; d < t->n_dims; d++) t->shape[d] = entry->tensor->shape[d];
            if (data[s] != NULL) t->data = (const char *)data[s] + entry->tensor->offset;
        }
    }
    *out = (CheckpointContents){.tensors = tensors, .n_tensors = count};
    return OK;
}

struct Saver {
    const Experiment *e;
    Arena arena;
    CheckpointWriter *writer;
    CheckpointContents contents;
    CheckpointValue values[N_VALUES];
    const char *config;
    void *host[N_SECTIONS]; /* copies of the device's sections; the sections themselves on the CPU */
    bool owns_host;
};

static CheckpointValue value_i64(const char *name, int64_t value) {
    return (CheckpointValue){.name = name, .kind = CHECKPOINT_I64, .i64 = value};
}

static CheckpointValue value_f64(const char *name, double value) {
    return (CheckpointValue){.name = name, .kind = CHECKPOINT_F64, .f64 = value};
}

static int64_t samples_of(const Experiment *e, int64_t step) { return step * experiment_tokens_per_step(e) / e->T; }

static void values_set(Saver *saver, const Progress *p) {
    const Experiment *e = saver->e;
    int n = 0;
    saver->values[n++] = value_i64("step", p->step);
    saver->values[n++] = value_i64("tokens", p->tokens);
    saver->values[n++] = value_i64("samples", samples_of(e, p->step));
    saver->values[n++] = value_f64("train_s", p->train_s);
    saver->values[n++] = value_f64("best_val_loss", p->best_val_loss);
    saver->values[n++] = value_i64("best_step", p->best_step);
    saver->values[n++] = value_f64("val_loss", p->val_loss);
    saver->values[n++] = value_i64("evaluated_step", p->evaluated_step);
    saver->values[n++] = value_f64("loss_scale", p->loss_scale.scale);
    saver->values[n++] = value_i64("loss_scale_good_steps", p->loss_scale.good_steps);
    saver->values[n++] = value_i64("updates", p->loss_scale.updates);
    saver->values[n++] = value_i64("seed", (int64_t)e->config->seed);
    saver->values[n++] = value_i64("world_size", world_size(e->world));
    saver->values[n++] = (CheckpointValue){.name = "config", .kind = CHECKPOINT_TEXT, .text = saver->config};
    saver->values[n++] =
        (CheckpointValue){.name = "tokenizer", .kind = CHECKPOINT_TEXT, .text = token_file_tokenizer(e->train_file)};
    saver->contents.values = saver->values;
    saver->contents.n_values = n;
}

static Status host_create(Saver *saver) {
    StateSections sections = sections_of(saver->e->parameters);
    saver->owns_host = saver->e->device->target.kind != DEVICE_CPU;
    for (int s = 0; s < N_SECTIONS; s++) {
        const Buffer *buffer = &sections.section[s]->buffer;
        saver->host[s] = saver->owns_host ? malloc(buffer->bytes) : buffer->data;
        if (saver->host[s] == NULL) return ERROR(STATUS_FAILURE, "out of memory for a copy of the weights");
    }
    return OK;
}

static Status host_refresh(Saver *saver) {
    StateSections sections = sections_of(saver->e->parameters);
    for (int s = 0; s < N_SECTIONS && saver->owns_host; s++) {
        TRY(device_download(saver->e->device, saver->host[s], sections.section[s]->flat));
    }
    return OK;
}

static Status saver_build(Saver *saver, const char *directory, const char *config) {
    const Experiment *e = saver->e;
    size_t bytes;
    saver->config = arena_strdup(&saver->arena, config);
    char *folder = arena_printf(&saver->arena, "%s/checkpoints", directory);
    if (saver->config == NULL || folder == NULL) return ERROR(STATUS_FAILURE, "out of memory for a saver");
    TRY(host_create(saver));
    TRY(contents_describe(e, saver->host, &saver->arena, &saver->contents));
    values_set(saver, &(Progress){0});
    TRY(checkpoint_image_bytes(&saver->contents, &bytes));
    return checkpoint_writer_create(folder, (int)e->config->checkpoint.keep, bytes, &saver->writer);
}

Status saver_create(const Experiment *e, const char *directory, const char *config, Saver **out) {
    Saver *saver = calloc(1, sizeof *saver);
    if (saver == NULL) return ERROR(STATUS_FAILURE, "out of memory for a saver");
    saver->e = e;
    *out = saver;
    return saver_build(saver, directory, config);
}

Status saver_start(Saver *saver, const Progress *progress) {
    if (saver == NULL) return OK;
    TRY(host_refresh(saver));
    values_set(saver, progress);
    return checkpoint_writer_save(saver->writer, &saver->contents, progress->step);
}

Status saver_finish(Saver *saver) { return saver == NULL ? OK : checkpoint_writer_wait(saver->writer); }

void saver_destroy(Saver **saver) {
    if (saver == NULL || *saver == NULL) return;
    checkpoint_writer_destroy(&(*saver)->writer);
    for (int s = 0; s < N_SECTIONS && (*saver)->owns_host; s++) free((*saver)->host[s]);
    arena_free(&(*saver)->arena);
    free(*saver);
    *saver = NULL;
}

size_t saver_bytes(const Experiment *e) {
    StateSections sections = sections_of(e->parameters);
    size_t bytes = 0;
    for (int s = 0; s < N_SECTIONS; s++) bytes += sections.section[s]->buffer.bytes;
    return e->device->target.kind == DEVICE_CPU ? bytes : 2 * bytes;
}

/* ---- loading ---- */

static Status tensor_load(const Experiment *e, const CheckpointFile *file, const char *prefix, const StoreEntry *entry,
                          Arena *arena) {
    CheckpointTensor wanted = {.name = arena_printf(arena, "%s.%s", prefix, entry->name),
                               .dtype = entry->tensor->dtype,
                               .n_dims = entry->tensor->n_dims};
    for (int d = 0; d < wanted.n_dims; d++) wanted.shape[d] = entry->tensor->shape[d];
    void *values = malloc(tensor_bytes(entry->tensor));
    if (wanted.name == NULL || values == NULL) {
        free(values);
        return ERROR(STATUS_FAILURE, "out of memory while loading %s", checkpoint_path(file));
    }
    Status status = checkpoint_read_tensor(file, &wanted, values);
    if (!failed(status)) status = device_upload(e->device, entry->tensor, values);
    free(values);
    return status;
}

Status state_load_weights(const Experiment *e, const CheckpointFile *file, Arena *arena) {
    StateSections sections = sections_of(e->parameters);
    for (int s = 0; s < N_SECTIONS; s++) {
        for (int i = 0; sections.section[s] != NULL && i < sections.section[s]->n_entries; i++) {
            TRY(tensor_load(e, file, sections.prefix[s], &sections.section[s]->entries[i], arena));
        }
    }
    return parameters_round_masters(e->parameters, e->device); /* files hold the masters */
}

static Status config_check(Experiment *e, const CheckpointFile *file, Arena *arena) {
    char *text = NULL;
    Config *saved = NULL;
    TRY(checkpoint_read_text(file, "config", arena, &text));
    TRY(config_load_text(text, checkpoint_path(file), 0, NULL, &saved));
    Status status = config_compare_resume(saved, e->config);
    if (status.code == STATUS_CONFIG) status = ERROR(STATUS_CONFIG, "%s: %s", checkpoint_path(file), status_message());
    config_destroy(&saved);
    return status;
}

static Status world_check(const Experiment *e, const CheckpointFile *file, const Progress *p) {
    int64_t samples, world = 0;
    TRY(checkpoint_read_i64(file, "samples", &samples));
    TRY(checkpoint_read_i64(file, "world_size", &world));
    if (samples == samples_of(e, p->step) || p->step <= 0) return OK;
    return ERROR(STATUS_CONFIG,
                 "%s: was trained with %lld sequences a step on %lld ranks, this run has %lld on %d; set mpirun -np or "
                 "training.gradient_accumulation_steps so that ranks x data.batch_size x accumulation is %lld",
                 checkpoint_path(file), (long long)(samples / p->step), (long long)world, (long long)samples_of(e, 1),
                 world_size(e->world), (long long)(samples / p->step));
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
    TRY(checkpoint_read_i64(file, "loss_scale_good_steps", &p->loss_scale.good_steps));
    return checkpoint_read_i64(file, "updates", &p->loss_scale.updates);
}

static Status file_load(Experiment *e, const CheckpointFile *file, Arena *arena, Progress *progress) {
    TRY(config_check(e, file, arena));
    TRY(progress_load(file, progress));
    TRY(world_check(e, file, progress));
    return state_load_weights(e, file, arena);
}

Status state_load(Experiment *e, const char *path, Progress *progress) {
    CheckpointFile *file = NULL;
    Arena arena = {0};
    TRY(checkpoint_open(path, &file));
    Status status = file_load(e, file, &arena, progress);
    checkpoint_close(&file);
    arena_free(&arena);
    return status;
}
