#include "launch/run/run.h"

#include "core/base/clock.h"
#include "launch/run/memory_report.h"
#include "launch/run/run_stop.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Bytes that this process has in use now; remembers the most. What a GPU says counts for all
 * processes on it, so what others had when it was opened is left out. */
static void memory_look(Run *run) {
    Device *device = run->e.device;
    size_t free_bytes, total_bytes;
    run->mem_bytes = device->allocated_bytes;
    if (device->target.kind == DEVICE_CPU)
        run->mem_bytes = memory_resident();
    else if (!failed(device_memory(device, &free_bytes, &total_bytes)))
        run->mem_bytes = total_bytes - free_bytes - device->others_bytes;
    if (run->mem_bytes > run->peak_bytes) run->peak_bytes = run->mem_bytes;
}

/* Puts the batch on the host into the step's tensors, where it could be filled. */
static Status batch_upload(Run *run, Status filled) {
    if (failed(filled)) {
        return ERROR(filled.code, "%s (in step %lld)", status_message(),
                     (long long)run->progress.step + 1);
    }
    TRY(device_upload(run->e.device, run->e.step.tokens, run->tokens));
    return device_upload(run->e.device, run->e.step.targets, run->targets);
}

static Status state_upload(Run *run, int64_t first_sample) {
    const Config *c = run->e.config;
    bool scales = config_dtype(c) ==
                  DTYPE_F16; /* the only dtype in which a step may pass without an update */
    Schedule schedule = {c->optimizer.lr, c->lr_scheduler.min_lr, c->lr_scheduler.warmup,
                         c->lr_scheduler.decay};
    StepState state = {
        .seed = c->seed,
        .step = (uint64_t)run->progress.step,
        .first_sample = first_sample,
        .adam_step = (scales ? run->progress.loss_scale.updates : run->progress.step) + 1,
        .lr = (float)schedule_lr(&schedule, run->progress.step),
        .loss_scale = (float)run->progress.loss_scale.scale,
    };
    return device_upload(run->e.device, run->e.step.step, &state);
}

static Status micro_batch(Run *run, int64_t index) {
    Experiment *e = &run->e;
    int64_t B = e->resolved.batch_size, M = e->config->training.gradient_accumulation_steps;
    int64_t R = world_size(e->world), in_step = (index * R + world_rank(e->world)) * B;
    int64_t first = run->progress.step * M * R * B + in_step;
    TRY(batch_upload(run, loader_fill(&e->train, first, B, run->tokens, run->targets)));
    TRY(state_upload(run, in_step));
    return device_replay(e->device, e->training->programs[training_micro_batch(index, M)]);
}

/* A NaN's sign says nothing. */
static double scalar_of(const void *data, DType dtype) {
    double value = dtype == DTYPE_F64 ? *(const double *)data : (double)*(const float *)data;
    return isnan(value) ? NAN : value;
}

/* For a failure that this rank alone may have, in the middle of collective work: where there are
 * other ranks, they are taken down with it, since they wait for what will not come. */
static Status alone(Run *run, Status status) {
    if (failed(status) && world_size(run->e.world) > 1) world_abort(run->e.world, status);
    return status;
}

/* AdamW has left the weights alone where the norm is not finite: see core/ops/adamw.h. */
static Status finite_check(Run *run) {
    if (!run->has_failed) return OK;
    const char *name = NULL;
    int64_t offender = 0, element;
    TRY(alone(run, device_download(run->e.device, &offender, run->e.step.offender)));
    TRY(world_max_i64(run->e.world, &offender)); /* ranks may hold a share of the gradients each */
    if (adamw_offender_element(offender, &element))
        name = parameters_name_at(run->e.parameters, element);
    return ERROR(STATUS_FAILURE,
                 "step %lld: loss %g and gradient norm %g are not finite (first in %s); nothing of "
                 "this step was kept "
                 "or saved; try a lower optimizer.lr or a longer lr_scheduler.warmup",
                 (long long)run->loss_step + 1, metrics_shown(run->loss), metrics_shown(run->norm),
                 name == NULL ? "the loss" : name);
}

/* Loss and norm of the step last replayed start on their way to the host; a GPU goes on
 * meanwhile. */
static Status results_start(Run *run) {
    run->results_step = run->progress.step;
    TRY(device_fetch_start(run->e.device, &run->loss_fetch, run->e.step.loss));
    return device_fetch_start(run->e.device, &run->norm_fetch, run->e.step.norm);
}

/* Waits for them, where there are any on their way. */
static Status results_finish(Run *run) {
    double loss = 0, norm = 0;
    if (run->results_step < 0) return OK;
    run->loss_step = run->results_step;
    run->results_step = -1;
    TRY(device_fetch_finish(run->e.device, &run->loss_fetch, &loss));
    TRY(device_fetch_finish(run->e.device, &run->norm_fetch, &norm));
    run->loss = scalar_of(&loss, run->e.step.loss->dtype);
    run->norm = scalar_of(&norm, run->e.step.norm->dtype) / run->progress.loss_scale.scale;
    bool finite = isfinite(run->loss) && isfinite(run->norm);
    run->has_failed |=
        !loss_scale_update(&run->progress.loss_scale, config_dtype(run->e.config), finite);
    return finite || run->has_failed
               ? OK
               : device_upload(run->e.device, run->e.step.offender, &(int64_t){0});
}

/* Whether a signal asks this rank to leave what it does undone. Several ranks end what they are at
 * together. */
static bool is_cut(const Run *run) {
    return world_size(run->e.world) == 1 && signals_number() != 0;
}

/* On a GPU the results of a step are read while the next one runs, so that it never waits for the
 * host; AdamW itself has seen to it that a bad step changes nothing. In f16 the next step's scale
 * depends on this one's result. */
Status run_step(Run *run) {
    watchdog_step(run->e.watchdog, run->progress.step);
    for (int64_t i = 0; i < run->e.config->training.gradient_accumulation_steps; i++) {
        if (is_cut(run))
            return ERROR(STATUS_STOPPED, "step %lld was cut", (long long)run->progress.step + 1);
        TRY(micro_batch(run, i));
    }
    TRY(results_finish(run));
    TRY(results_start(run));
    bool waits =
        run->e.device->target.kind == DEVICE_CPU || config_dtype(run->e.config) == DTYPE_F16;
    if (waits) TRY(results_finish(run));
    run->progress.step++;
    run->progress.tokens += experiment_tokens_per_step(&run->e);
    run->progress.train_s = run_seconds(run);
    return OK;
}

static Metric metric_now(Run *run) {
    return (Metric){.step = run->progress.step,
                    .tokens = run->progress.tokens,
                    .train_s = run->progress.train_s,
                    .wall_s = clock_seconds() - run->born,
                    .train_loss = NAN,
                    .val_loss = NAN,
                    .val_stderr = NAN,
                    .val_bpb = NAN,
                    .lr = NAN,
                    .grad_norm = NAN,
                    .step_ms = NAN,
                    .tok_per_s = NAN,
                    .mfu = NAN,
                    .mem_bytes = run->mem_bytes};
}

/* A bad file's message says where in the run it was read. */
static Status evaluate(Run *run, Evaluation *out) {
    Status status = evaluator_run(run->evaluator, out);
    if (status.code != STATUS_DATA) return status;
    return ERROR(STATUS_DATA, "%s (in the evaluation after step %lld)", status_message(),
                 (long long)run->progress.step);
}

/* An evaluation is part of the time budget, but for the one that closes a run: the budget is spent
 * by then. */
static Status evaluate_and_log(Run *run, bool is_closing) {
    if (run->evaluator == NULL) return OK;
    TRY(results_finish(run)); /* evaluation uses the same tensors */
    Evaluation now;
    TRY(evaluate(run, &now));
    memory_look(run);
    Progress *progress = &run->progress;
    if (!is_closing) progress->train_s = run_seconds(run);
    if (isfinite(now.loss) && (progress->best_step < 0 || now.loss < progress->best_val_loss)) {
        progress->best_val_loss = now.loss;
        progress->best_step = progress->step;
    }
    progress->evaluated_step = progress->step;
    progress->val_loss = now.loss;
    Metric metric = metric_now(run);
    metric.is_evaluation = true;
    metric.val_loss = now.loss;
    metric.val_stderr = now.std_error;
    metric.val_bpb = now.bpb;
    char details[96];
    evaluation_details(&now, details, sizeof details);
    metrics_say(run->metrics, "step %lld | validation loss %.4f%s", (long long)progress->step,
                metrics_shown(now.loss), details);
    return metrics_write(run->metrics, &metric);
}

static Metric step_metric(Run *run) {
    Metric metric = metric_now(run);
    const ConfigSchedule *s = &run->e.config->lr_scheduler;
    Schedule schedule = {run->e.config->optimizer.lr, s->min_lr, s->warmup, s->decay};
    double now = clock_seconds(), steps = (double)(run->progress.step - run->logged_step);
    double seconds = (now - run->logged_at) / (steps > 0 ? steps : 1);
    double peak = run->e.device->peak_flops * world_size(run->e.world);
    metric.train_loss = run->loss;
    metric.grad_norm = run->norm;
    metric.lr = schedule_lr(&schedule, run->progress.step - 1);
    metric.step_ms = 1e3 * seconds;
    metric.tok_per_s = (double)experiment_tokens_per_step(&run->e) / seconds;
    if (peak > 0)
        metric.mfu =
            metric.tok_per_s * model_flops_per_token(run->e.model, run->e.parameters) / peak;
    return metric;
}

static Status log_step(Run *run) {
    if (run->progress.step % run->e.config->logging.interval == 0) {
        TRY(results_finish(run));
        memory_look(run);
    }
    Metric metric = step_metric(run);
    if (run->progress.step % run->e.config->logging.interval != 0) {
        metrics_progress(run->metrics, run_share_done(run), &metric);
        return OK;
    }
    metrics_say_step(run->metrics, &metric, run->e.config->training.stop.steps);
    run->logged_at = clock_seconds();
    run->logged_step = run->progress.step;
    return metrics_write(run->metrics, &metric);
}

/* Rank 0 saves; the others wait in their next reduction. */
static Status save(Run *run) {
    run->saved_at = run->progress.train_s;
    run->saved_step = run->progress.step;
    run->save_is_late = false;
    double allowed = watchdog_allow(run->e.watchdog, SAVE_ALLOWANCE, "saving a checkpoint");
    Status status = data_identity_settle(&run->e.data);
    if (!failed(status)) status = training_gather(run->e.training);
    if (!failed(status)) status = saver_gather(run->saver, &run->e);
    if (!failed(status)) status = saver_start(run->saver, &run->progress);
    (void)watchdog_allow(run->e.watchdog, allowed, "training");
    return status;
}

/* Until the last checkpoint is durable. */
static Status save_wait(Run *run) {
    double allowed = watchdog_allow(run->e.watchdog, SAVE_ALLOWANCE, "writing the last checkpoint");
    Status status = saver_finish(run->saver);
    (void)watchdog_allow(run->e.watchdog, allowed, "ending");
    return status;
}

static bool save_is_due(const Run *run) {
    const ConfigInterval *interval = &run->e.config->checkpoint.interval;
    bool by_steps = interval->steps > 0 && run->progress.step - run->saved_step >= interval->steps;
    bool is_best = run->e.config->checkpoint.best && run->progress.best_step == run->progress.step;
    return run->save_is_late || by_steps || is_best;
}

void run_mark(Run *run, const char *stage) {
    double now = clock_seconds();
    size_t used = strlen(run->stages);
    snprintf(run->stages + used, sizeof run->stages - used, "%s%s %.2f", used > 0 ? ", " : "",
             stage, now - run->marked_at);
    run->marked_at = now;
}

/* The first step has been computed: says how long it took to come there, and where the time
 * went. */
static Status started(Run *run) {
    TRY(results_finish(run));
    run_mark(run, "first step");
    run->start_s = run->marked_at - run->born;
    (void)watchdog_allow(run->e.watchdog, 0, "training");
    metrics_say(run->metrics, "started in %.2f s: %s", run->start_s, run->stages);
    return OK;
}

static bool evaluation_is_due(const Run *run) {
    int64_t interval = run->e.config->evaluation.interval, step = run->progress.step;
    return run->evaluator != NULL && interval > 0 && step > 0 && step % interval == 0 &&
           run->progress.evaluated_step != step;
}

/* A step and what is due after it; or an evaluation that the run owes, because it was cut there. */
static Status advance(Run *run) {
    if (evaluation_is_due(run)) return alone(run, evaluate_and_log(run, false));
    TRY(alone(run, run_step(run)));
    if (run->start_s == 0) TRY(alone(run, started(run)));
    TRY(alone(run, log_step(run)));
    TRY(alone(run, data_identity_look(&run->e.data)));
    TRY(finite_check(run));
    if (evaluation_is_due(run)) TRY(alone(run, evaluate_and_log(run, false)));
    if (!save_is_due(run)) return OK;
    TRY(alone(run, results_finish(run)));
    TRY(finite_check(run)); /* nothing bad is saved */
    return alone(run, save(run));
}

/* What a signal has cut is no failure: the request behind it is looked at next. */
static Status unless_cut(Status status) { return status.code == STATUS_STOPPED ? OK : status; }

static Status train_steps(Run *run, StopRequest *request) {
    TRY(run_agree_request(run, request));
    while (*request == STOP_NONE) {
        TRY(unless_cut(advance(run)));
        TRY(run_agree_request(run, request));
    }
    return OK;
}

static Status stop_now(Run *run) {
    TRY(save_wait(run));
    const char *name = strsignal(signals_number() == 0 ? SIGTERM : signals_number());
    if (run->saved_step == 0) {
        return ERROR(STATUS_FAILURE,
                     "stopped by %s at step %lld, before the first checkpoint; the same command "
                     "starts anew (SIGUSR1 "
                     "saves before it stops)",
                     name, (long long)run->progress.step);
    }
    return ERROR(STATUS_FAILURE,
                 "stopped by %s at step %lld; the last checkpoint (step %lld) is good, the same "
                 "command goes on from it",
                 name, (long long)run->progress.step, (long long)run->saved_step);
}

static Status finish(Run *run, StopRequest request) {
    TRY(alone(run, results_finish(run)));
    TRY(finite_check(run));
    bool evaluates = request == STOP_BUDGET && run->progress.evaluated_step != run->progress.step;
    if (evaluates) {
        Status evaluated = alone(run, evaluate_and_log(run, true));
        TRY(unless_cut(evaluated));
        if (failed(evaluated)) request = STOP_SAVE;
    }
    if (evaluates || run->progress.step != run->saved_step || run->progress.step == 0)
        TRY(alone(run, save(run)));
    TRY(alone(run, save_wait(run)));
    if (request == STOP_SAVE) {
        const char *name = signals_number() == 0 ? "early" : strsignal(signals_number());
        return ERROR(
            STATUS_STOPPED,
            "stopped %s%s at step %lld with a checkpoint; the same command goes on from it",
            signals_number() == 0 ? "" : "by ", name, (long long)run->progress.step);
    }
    return OK;
}

Status run_train(Run *run) {
    StopRequest request;
    run->started = run->logged_at = clock_seconds();
    run->logged_step = run->progress.step;
    run->results_step = -1;
    TRY(train_steps(run, &request));
    return request == STOP_NOW ? stop_now(run) : finish(run, request);
}

Status run_summarize(Run *run, const char *status) {
    if (world_rank(run->e.world) != 0) return OK;
    const Progress *progress = &run->progress;
    int64_t kept = run->has_failed ? run->loss_step
                                   : progress->step; /* steps whose updates the weights have */
    char host[256] = "";
    if (gethostname(host, sizeof host - 1) != 0) *host = 0;
    memory_look(run);
    Summary summary = {
        .status = status,
        .best_val_loss = progress->best_step < 0 ? NAN : progress->best_val_loss,
        .best_step = progress->best_step,
        .val_tokens = run->e.val.targets,
        .steps = kept,
        .tokens = progress->tokens - (progress->step - kept) * experiment_tokens_per_step(&run->e),
        .train_s = progress->train_s,
        .start_s = run->start_s,
        .attention = run->e.planned.attention,
        .batch_size = run->e.resolved.batch_size,
        .world_size = world_size(run->e.world),
        .device = run->e.device->name,
        .host = host,
        .peak_bytes = run->peak_bytes,
        .planned_bytes = run->e.planned.bytes,
        .data = &run->e.data,
    };
    return summary_write(run->directory, &summary);
}

void run_close(Run *run) {
    evaluator_destroy(&run->evaluator);
    saver_destroy(&run->saver);
    metrics_close(&run->metrics);
    run_directory_release(&run->place);
    free(run->tokens);
    free(run->targets);
    free(run->changes);
    experiment_destroy(&run->e);
    config_destroy(&run->config);
}
