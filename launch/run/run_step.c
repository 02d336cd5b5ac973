#include "launch/run/run_step.h"

#include "core/convert.h"
#include "core/ops/adamw.h"
#include "launch/base/readable.h"
#include "launch/base/signals.h"
#include "launch/run/run_measure.h"

#include <math.h>

/* Uploads the batch after the loader has filled it. */
static Status batch_upload(Run *run, Status filled) {
    if (failed(filled)) {
        return ERROR(filled.code, "%s (in step %lld)", status_message(),
                     (long long)run->progress.step + 1);
    }
    TRY(device_upload(run->e.device, run->e.recorded.step.tokens, run->tokens));
    return device_upload(run->e.device, run->e.recorded.step.targets, run->targets);
}

/* Updates that the moments have had: those known, and that of a step whose results are pending,
 * which is one, because f16, which may pass a step without an update, waits for its results. A
 * branch may renumber its steps. */
static int64_t updates_of(const Run *run) {
    return run->progress.loss_scale.updates + (run->results_step >= 0);
}

static Status state_upload(Run *run, int64_t first_sample) {
    const Config *c = run->e.config;
    StepState state = {
        .seed = c->seed,
        .step = (uint64_t)run->progress.step,
        .first_sample = first_sample,
        .adam_step = updates_of(run) + 1,
        .lr = (float)schedule_lr(&run->schedule, run->progress.step),
        .loss_scale = (float)run->progress.loss_scale.scale,
    };
    return device_upload(run->e.device, run->e.recorded.step.step, &state);
}

static Status micro_batch(Run *run, int64_t index) {
    Experiment *e = &run->e;
    int64_t B = e->resolved.batch_size, M = experiment_accumulation(e);
    int64_t R = world_size(e->world), in_step = (index * R + world_rank(e->world)) * B;
    int64_t first = run->progress.tokens / e->T + in_step;
    TRY(batch_upload(run, loader_fill(&e->train, first, B, run->tokens, run->targets)));
    TRY(state_upload(run, in_step));
    return training_replay(e->recorded.training, e->phase, index, M, run->measures_noise);
}

/* Every NaN gets one sign: the sign has no meaning. */
static double scalar_of(const void *data, DType dtype) {
    double value = real_load(data, dtype, 0);
    return isnan(value) ? NAN : value;
}

static bool counts_saturated(const Run *run) { return float8_is_delayed(run->e.recorded.f8); }

static Status saturated_finish(Run *run) {
    float saturated = NAN;
    if (counts_saturated(run))
        TRY(device_fetch_finish(run->e.device, &run->saturated_fetch, &saturated));
    run->saturated = (double)saturated;
    return OK;
}

/* Starts to copy loss and norm of the last step to the host; a GPU continues to compute
 * meanwhile. */
static Status results_start(Run *run) {
    run->results_step = run->progress.step;
    if (run->measures_noise) TRY(run_noise_start(run));
    if (counts_saturated(run))
        TRY(device_fetch_start(run->e.device, &run->saturated_fetch,
                               run->e.recorded.f8->saturated));
    TRY(device_fetch_start(run->e.device, &run->loss_fetch, run->e.recorded.step.loss));
    return device_fetch_start(run->e.device, &run->norm_fetch, run->e.recorded.step.norm);
}

Status run_results_finish(Run *run) {
    double loss = 0, norm = 0;
    if (run->results_step < 0) return OK;
    run->loss_step = run->results_step;
    run->results_step = -1;
    TRY(saturated_finish(run));
    TRY(device_fetch_finish(run->e.device, &run->loss_fetch, &loss));
    TRY(device_fetch_finish(run->e.device, &run->norm_fetch, &norm));
    run->loss = scalar_of(&loss, run->e.recorded.step.loss->dtype);
    run->norm = scalar_of(&norm, run->e.recorded.step.norm->dtype) / run->progress.loss_scale.scale;
    bool finite = isfinite(run->loss) && isfinite(run->norm);
    TRY(run_noise_take(run, finite));
    run->has_failed |=
        !loss_scale_update(&run->progress.loss_scale, config_dtype(run->e.config), finite);
    return finite || run->has_failed
               ? OK
               : device_upload(run->e.device, run->e.recorded.step.first_nonfinite, &(int64_t){0});
}

Status run_finite_check(Run *run) {
    if (!run->has_failed) return OK;
    const char *name = NULL;
    int64_t found = 0, element;
    TRY(run_alone(run,
                  device_download(run->e.device, &found, run->e.recorded.step.first_nonfinite)));
    TRY(world_max_i64(run->e.world, &found)); /* with shards, each rank has checked only its own */
    if (adamw_first_nonfinite_element(found, &element))
        name = parameters_name_at(run->e.recorded.parameters, element);
    return ERROR(STATUS_FAILURE,
                 "step %lld: loss %g and gradient norm %g are not finite (first in %s); nothing of "
                 "this step was kept "
                 "or saved; try a lower optimizer.lr or a longer lr_scheduler.warmup",
                 (long long)run->loss_step + 1, readable_real(run->loss), readable_real(run->norm),
                 name == NULL ? "the loss" : name);
}

/* Whether a signal interrupts the step. Several ranks finish the step and stop together. */
static bool is_cut(const Run *run) {
    return world_size(run->e.world) == 1 && signals_number() != 0;
}

/* The phase and the learning rates of the next step, by rank 0's clock. */
static void step_prepare(Run *run) {
    Experiment *e = &run->e;
    Phases phases = experiment_phases(e);
    RunPosition at = run_position(run);
    at.train_s = run->agreed_s;
    int before = e->phase;
    e->phase = phases_at(&phases, &e->config->training.stop, at);
    run->schedule = run_schedule(e, at);
    if (e->phase == before) return;
    char text[512];
    phase_describe(e, e->phase, text, sizeof text);
    metrics_say(run->metrics, "step %lld | %s", (long long)run->progress.step + 1, text);
}

/* A GPU never waits for the host: the results of a step are read during the next one, and AdamW
 * itself skips a step that is not finite. In f16 the next step's scale depends on this result. */
Status run_step(Run *run) {
    watchdog_step(run->e.watchdog, run->progress.step);
    step_prepare(run);
    run->measures_noise = run_noise_is_due(run);
    run_energy_poll(run);
    for (int64_t i = 0; i < experiment_accumulation(&run->e); i++) {
        if (is_cut(run))
            return ERROR(STATUS_STOPPED, "step %lld was cut", (long long)run->progress.step + 1);
        TRY(micro_batch(run, i));
    }
    TRY(run_results_finish(run));
    TRY(results_start(run));
    bool waits =
        run->e.device->target.kind == DEVICE_CPU || config_dtype(run->e.config) == DTYPE_F16;
    if (waits) TRY(run_results_finish(run));
    run->progress.step++;
    run->progress.tokens += experiment_tokens_per_step(&run->e);
    run->progress.train_s = run_seconds(run);
    return OK;
}
