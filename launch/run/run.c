#include "launch/run/run.h"

#include "core/base/clock.h"
#include "launch/config/config_load.h"
#include "launch/run/memory_report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void run_mark(Run *run, const char *stage) {
    double now = clock_seconds();
    size_t used = strlen(run->stages);
    snprintf(run->stages + used, sizeof run->stages - used, "%s%s %.2f", used > 0 ? ", " : "",
             stage, now - run->marked_at);
    run->marked_at = now;
}

double run_seconds(const Run *run) { return run->resumed_s + (clock_seconds() - run->started); }

RunPosition run_position(const Run *run) {
    const Progress *progress = &run->progress;
    return (RunPosition){progress->step, progress->tokens, progress->train_s};
}

bool run_is_done(const Run *run) {
    const ConfigStop *stop = &run->e.config->training.stop;
    const ConfigLength *early = &stop->early;
    double share = run_share(stop, run_position(run));
    if (early->percent > 0) return share >= fmin(early->percent / 100, 1);
    if (early->tokens > 0) return share >= 1 || run->progress.tokens >= early->tokens;
    return share >= 1 || run->progress.step >= early->steps;
}

void run_look_at_memory(Run *run) {
    Device *device = run->e.device;
    size_t free_bytes, total_bytes;
    run->mem_bytes = device->allocated_bytes;
    if (device->target.kind == DEVICE_CPU)
        run->mem_bytes = memory_resident();
    else if (!failed(device_memory(device, &free_bytes, &total_bytes)))
        run->mem_bytes = total_bytes - free_bytes - device->others_bytes;
    if (run->mem_bytes > run->peak_bytes) run->peak_bytes = run->mem_bytes;
}

Status run_alone(Run *run, Status status) {
    if (!failed(status) || world_size(run->e.world) == 1) return status;
    metrics_bar_clear(run->metrics);
    world_abort(run->e.world, status);
    return status;
}

Status run_summarize(Run *run, const char *status) {
    if (world_rank(run->e.world) != 0 || run->is_displaced) return OK;
    const Progress *progress = &run->progress;
    int64_t kept = run->has_failed ? run->loss_step
                                   : progress->step; /* steps whose updates the weights have */
    char host[256] = "";
    if (gethostname(host, sizeof host - 1) != 0) *host = 0;
    run_look_at_memory(run);
    Summary summary = {
        .status = status,
        .has_diverged = run->has_failed,
        .best_val_loss = progress->best_step < 0 ? NAN : progress->best_val_loss,
        .best_step = progress->best_step,
        .val_tokens = run->e.val.targets,
        .steps = kept,
        .tokens = progress->tokens - (progress->step - kept) * experiment_tokens_per_step(&run->e),
        .train_s = progress->train_s,
        .joules = progress->joules,
        .start_s = run->start_s,
        .attention = run->e.planned.attention,
        .batch_size = run->e.resolved.batch_size,
        .block_size = run->e.T,
        .world_size = world_size(run->e.world),
        .device = run->e.device->name,
        .host = host,
        .peak_bytes = run->peak_bytes,
        .planned_bytes = run->e.planned.bytes,
        .data = &run->e.data,
    };
    return summary_write(run->directory, &summary);
}

Status run_end(Run *run, Status status) {
    const char *outcome = status.code == STATUS_STOPPED ? "stopped"
                          : failed(status)              ? "failed"
                                                        : "done";
    StatusRecord first;
    metrics_bar_clear(run->metrics);
    status_keep(status, &first);
    Status summarized = run_summarize(run, outcome);
    if (failed(status)) status = status_restore(&first);
    if (failed(status) && status.code != STATUS_STOPPED) return status;
    TRY(summarized);
    RunEnd end = run_next_end(&run->e.config->training.stop, run_position(run));
    metrics_say(run->metrics, "%s: %lld steps, %lld tokens, %.1f s%s%s; the run is in %s", outcome,
                (long long)run->progress.step, (long long)run->progress.tokens,
                run->progress.train_s, failed(status) ? "" : ", the end by ",
                failed(status) ? "" : end.rule, run->directory);
    return status;
}

void run_close(Run *run) {
    evaluator_destroy(&run->evaluator);
    sampler_destroy(&run->sampler);
    energy_close(&run->energy);
    saver_destroy(&run->saver);
    shard_saver_destroy(&run->shard_saver);
    metrics_close(&run->metrics);
    run_directory_release(&run->place);
    free(run->tokens);
    free(run->targets);
    free(run->changes);
    experiment_destroy(&run->e);
    config_destroy(&run->config);
}
