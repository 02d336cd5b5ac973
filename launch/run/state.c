#include "launch/run/state.h"

#include "launch/config/config_load.h"
#include "launch/run/state_contents.h"

#include <math.h>
#include <stdlib.h>

static Status tensor_load(const Experiment *e, const CheckpointFile *file, int kind, int index,
                          Arena *arena) {
    CheckpointTensor wanted;
    TRY(state_describe_tensor(e->recorded.parameters, kind, index, NULL, arena, &wanted));
    void *values = malloc((size_t)tensor_count(e->recorded.parameters->list[index]->weight) *
                          dtype_size(wanted.dtype));
    if (values == NULL)
        return ERROR(STATUS_OUT_OF_MEMORY, "out of memory while loading %s", checkpoint_path(file));
    Status status = checkpoint_read_tensor(file, &wanted, values);
    if (!failed(status))
        status = parameters_write(e->recorded.parameters, e->device, kind, index, values);
    free(values);
    return status;
}

Status state_load_weights(const Experiment *e, const CheckpointFile *file, Arena *arena) {
    for (int kind = 0; kind < parameters_state_count(e->recorded.parameters); kind++) {
        for (int i = 0; i < e->recorded.parameters->count; i++) {
            if (state_has(e->recorded.parameters, kind, i))
                TRY(tensor_load(e, file, kind, i, arena));
        }
    }
    return OK;
}

static Status scales_load(const Experiment *e, const CheckpointFile *file, Arena *arena) {
    const Tensor *tensors[FLOAT8_TENSORS];
    CheckpointTensor described[FLOAT8_TENSORS];
    if (!state_has_scales(e)) return OK;
    state_describe_scales(e->recorded.f8, described, tensors);
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

/* Of the saved run. */
typedef struct SavedRun {
    int64_t sequences; /* of a step on one rank */
    int64_t val_tokens;
} SavedRun;

static Status config_check(Experiment *e, const CheckpointFile *file, bool branches, Arena *arena,
                           SavedRun *run, char **changes) {
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
    *run = (SavedRun){saved->data.batch_size * saved->training.gradient_accumulation_steps,
                      saved->evaluation.tokens};
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
    int64_t part;
    if (has_noise && !failed(checkpoint_read_i64(file, "noise_part", &part)))
        noise->part = (NoisePart)part;
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

/* The losses of two sets of tokens cannot be compared: the best starts anew, and the step of the
 * checkpoint is evaluated again. A checkpoint of an older version names no data. */
static void best_settle(const Experiment *e, const SavedRun *run, Progress *p) {
    EvaluationSet set;
    bool has_same_data = e->data.is_unverified || e->data.files[1].saved.count > 0;
    if (e->val_tokens == NULL || p->best_step < 0) return;
    if (has_same_data && !failed(evaluation_set_init(e->val_tokens, e->T, run->val_tokens, &set)) &&
        set.targets == e->val.targets)
        return;
    p->best_step = -1;
    p->best_is_dropped = true;
    if (p->evaluated_step == p->step) p->evaluated_step--;
}

/* A branch has its own step number and no best evaluation yet. */
static void progress_branch(const Experiment *e, Progress *p) {
    p->step = p->tokens / experiment_tokens_per_step(e);
    p->best_step = p->evaluated_step = -1;
}

static Status contents_load(Experiment *e, const CheckpointFile *file, bool branches, Arena *arena,
                            Progress *progress, char **changes) {
    SavedRun run;
    TRY(config_check(e, file, branches, arena, &run, changes));
    TRY(data_identity_expect(&e->data, file));
    TRY(progress_load(file, progress));
    if (branches)
        progress_branch(e, progress);
    else
        TRY(world_check(e, file, run.sequences));
    best_settle(e, &run, progress);
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
