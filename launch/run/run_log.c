#include "launch/run/run_log.h"

#include "core/base/clock.h"
#include "launch/base/readable.h"
#include "launch/config/unused.h"
#include "launch/run/placement.h"
#include "launch/run/run_measure.h"
#include "launch/run/run_schedule.h"
#include "launch/run/run_step.h"
#include "nn/optim/schedule.h"

#include <math.h>
#include <stdlib.h>

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
                    .noise_scale = NAN,
                    .joules = run->progress.joules,
                    .tok_per_joule = NAN,
                    .fp8_saturated = NAN,
                    .mem_bytes = run->mem_bytes};
}

/* Adds the position in the run to an error about a bad file. */
static Status evaluator_result(Run *run, Evaluation *out) {
    Status status = evaluator_run(run->evaluator, out);
    if (status.code != STATUS_DATA) return status;
    return ERROR(STATUS_DATA, "%s (in the evaluation after step %lld)", status_message(),
                 (long long)run->progress.step);
}

/* On rank 0, from the weights that the evaluation has gathered. */
static Status sample(Run *run, bool is_closing) {
    char *text;
    if (run->sampler == NULL) return OK;
    TRY(sampler_run(run->sampler, &text));
    if (!is_closing) run->progress.train_s = run_seconds(run);
    if (text == NULL) return OK;
    Status status = metrics_sample(run->metrics, run->progress.step, text);
    free(text);
    return status;
}

Status run_evaluate(Run *run, bool is_closing) {
    if (run->evaluator == NULL) return OK;
    TRY(run_results_finish(run)); /* evaluation uses the same tensors */
    Evaluation now;
    TRY(evaluator_result(run, &now));
    run_look_at_memory(run);
    TRY(run_energy_read(run));
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
                readable_real(now.loss), details);
    TRY(metrics_write(run->metrics, &metric));
    return sample(run, is_closing);
}

static Metric step_metric(Run *run) {
    Metric metric = metric_now(run);
    double now = clock_seconds(), steps = (double)(run->progress.step - run->logged_step);
    double seconds = (now - run->logged_at) / (steps > 0 ? steps : 1);
    double peak = run->e.device->peak_flops * world_size(run->e.world);
    metric.is_of_cpu = run->e.device->target.kind == DEVICE_CPU;
    metric.train_loss = run->loss;
    metric.grad_norm = run->norm;
    metric.fp8_saturated = run->saturated;
    metric.lr = schedule_lr(&run->schedule, run->progress.step - 1);
    metric.step_ms = 1e3 * seconds;
    double tokens = (double)(run->progress.tokens - run->logged_tokens);
    metric.tok_per_s = tokens / (steps > 0 ? steps : 1) / seconds;
    metric.noise_scale = run_noise_tokens(run);
    metric.tok_per_joule = tokens / (run->progress.joules - run->logged_joules);
    if (peak > 0) metric.mfu = metric.tok_per_s * experiment_flops_per_token(&run->e) / peak;
    return metric;
}

Status run_log_step(Run *run) {
    if (run->progress.step % run->e.config->logging.interval == 0) {
        TRY(run_results_finish(run));
        TRY(run_energy_read(run));
        run_look_at_memory(run);
    }
    Metric metric = step_metric(run);
    if (run->progress.step % run->e.config->logging.interval != 0) {
        RunEnd end = run_next_end(&run->e.config->training.stop, run_position(run));
        metrics_progress(run->metrics, &end, &metric);
        return OK;
    }
    metrics_say_step(run->metrics, &metric, run->e.config->training.stop.steps);
    run->logged_at = clock_seconds();
    run->logged_step = run->progress.step;
    run->logged_tokens = run->progress.tokens;
    run->logged_joules = run->progress.joules;
    return metrics_write(run->metrics, &metric);
}

static void phases_say(Run *run) {
    int count = experiment_phases(&run->e).count;
    char text[512];
    for (int i = 0; i < count && count > 1; i++) {
        phase_describe(&run->e, i, text, sizeof text);
        metrics_say(run->metrics, "%s", text);
    }
}

static Status unused_say(Run *run) {
    char *text;
    Status status = config_unused(run->e.config, &text);
    if (!failed(status)) metrics_say_lines(run->metrics, text);
    free(text);
    return status;
}

Status run_introduce(Run *run) {
    const Experiment *e = &run->e;
    Arena arena = {0};
    char *table = NULL, remark[256];
    const char *note = e->gpu == NULL ? "" : gpu_collectives_note(e->gpu);
    TRY(placement_table(e->world, e->device, note, &arena, &table));
    if (table != NULL && table[0] != '\0') metrics_say_lines(run->metrics, table);
    arena_free(&arena);
    metrics_say(
        run->metrics,
        "%s x %d, %d threads | attention %s | %.1f MiB planned, %.1f MiB base per rank, %.1f "
        "MiB to save from",
        e->device->name, world_size(e->world), e->device->target.threads, e->planned.attention,
        (double)e->planned.bytes / 0x1p20, (double)e->base_bytes / 0x1p20,
        (double)e->planned.checkpoint_bytes / 0x1p20);
    metrics_say(run->metrics,
                "%d rank%s x batch %lld x accumulation %lld x T %lld = %lld tokens a step | %lld "
                "parameters",
                world_size(e->world), world_size(e->world) == 1 ? "" : "s",
                (long long)e->resolved.batch_size, (long long)experiment_accumulation(e),
                (long long)e->T, (long long)experiment_tokens_per_step(e),
                (long long)e->planned.parameters);
    phases_say(run);
    backend_table_say(&e->backends, run->metrics);
    rates_remark(e, remark, sizeof remark);
    if (remark[0] != '\0') metrics_say(run->metrics, "%s", remark);
    TRY(unused_say(run));
    schedule_remark(e, remark, sizeof remark);
    if (remark[0] != '\0') metrics_say(run->metrics, "%s", remark);
    if (run->evaluator != NULL && evaluator_note(run->evaluator) != NULL) {
        metrics_say(run->metrics, "evaluation: %s", evaluator_note(run->evaluator));
    }
    if (e->device->peak_flops > 0) {
        metrics_say(run->metrics, "MFU is measured against %.0f TFLOP/s a GPU",
                    1e-12 * e->device->peak_flops);
    }
    return OK;
}
