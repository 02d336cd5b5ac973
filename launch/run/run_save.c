#include "launch/run/run_save.h"

#include "launch/run/run_measure.h"

#include <stdio.h>

static void copy_rest(const Run *run) {
    saver_copy_rest(run->saver);
    shard_saver_copy_rest(run->shard_saver);
}

/* A first save may still wait for the memory of a large image. */
static void before_update(void *self) {
    const Run *run = self;
    if (saver_is_idle(run->saver) && shard_saver_is_idle(run->shard_saver)) return;
    double allowed = watchdog_allow(run->e.watchdog, SAVE_ALLOWANCE, "saving a checkpoint");
    copy_rest(run);
    (void)watchdog_allow(run->e.watchdog, allowed, "training");
}

void run_save_open(Run *run) {
    run->e.device->before_update = before_update;
    run->e.device->before_update_self = run;
}

/* With `memory`, a snapshot into that folder on every host that keeps one: of rank 0's progress,
 * because the clocks of ranks differ. */
static Status save_start(Run *run, const char *memory) {
    if (memory == NULL && run->shard_saver != NULL)
        return shard_saver_start(run->shard_saver, &run->progress);
    TRY(saver_gather(run->saver, &run->e, memory == NULL ? -1 : world_second_host(run->e.world)));
    bool leads = world_rank(run->e.world) == 0; /* other ranks have savers for their memory */
    if (memory == NULL) return leads ? saver_start(run->saver, &run->progress) : OK;
    Progress progress = run->progress;
    TRY(world_broadcast(run->e.world, &progress, sizeof progress));
    return saver_start_memory(run->saver, &progress, memory);
}

/* Not a failure: the run has its checkpoints on disk, and the next snapshot may find room. */
static void missed_report(Run *run) {
    char text[STATUS_MESSAGE_BYTES];
    run->memory_is_missed = failed(saver_missed(run->saver));
    if (!run->memory_is_missed || run->memory_is_reported) return;
    run->memory_is_reported = true;
    snprintf(text, sizeof text,
             "no snapshot in memory: %s; the run goes on; free /dev/shm or enlarge it, or set "
             "checkpoint.memory_interval: 0",
             status_message());
    if (run->metrics != NULL)
        metrics_say(run->metrics, "warning: %s", text);
    else
        status_warn(world_host(run->e.world, world_rank(run->e.world)), text);
}

/* Nothing more is saved into a directory that another run has taken. */
static Status lock_check(Run *run) {
    RunLock *lock = run->place.lock; /* NULL on other ranks */
    bool was_lost = false;
    Status status = lock == NULL ? OK : run_lock_check(run->directory, lock, &was_lost);
    run->is_displaced = failed(status);
    if (was_lost)
        metrics_say(run->metrics, "warning: %s/run.lock was removed or replaced; %s",
                    run->directory,
                    run_lock_is_held(lock) ? "it is locked again"
                                           : "it cannot be locked; let no second run use it");
    return status;
}

static Status save(Run *run, const char *memory) {
    TRY(lock_check(run));
    missed_report(run);
    run->kept_at = run->progress.train_s;
    run->kept_step = run->progress.step;
    run->memory_is_late = false;
    double allowed = watchdog_allow(run->e.watchdog, SAVE_ALLOWANCE, "saving a checkpoint");
    copy_rest(run); /* the previous save may still read what this one sets */
    Status status = data_identity_settle(&run->e.data);
    if (!failed(status)) status = run_energy_read(run);
    if (!failed(status)) status = training_gather_weights(run->e.recorded.training);
    if (!failed(status)) status = save_start(run, memory);
    (void)watchdog_allow(run->e.watchdog, allowed, "training");
    return status;
}

Status run_save(Run *run) {
    run->saved_at = run->progress.train_s;
    run->saved_step = run->progress.step;
    run->save_is_late = false;
    return save(run, NULL);
}

Status run_save_memory(Run *run) { return save(run, run->memory); }

Status run_save_wait(Run *run) {
    double allowed = watchdog_allow(run->e.watchdog, SAVE_ALLOWANCE, "writing the last checkpoint");
    Status status = saver_finish(run->saver);
    missed_report(run);
    if (!failed(status)) status = shard_saver_finish(run->shard_saver);
    (void)watchdog_allow(run->e.watchdog, allowed, "ending");
    return status;
}

bool run_save_is_due(const Run *run) {
    const ConfigInterval *interval = &run->e.config->checkpoint.interval;
    bool by_steps = interval->steps > 0 && run->progress.step - run->saved_step >= interval->steps;
    bool is_best = run->e.config->checkpoint.best && run->progress.best_step == run->progress.step;
    return run->save_is_late || by_steps || is_best;
}
