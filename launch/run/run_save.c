#include "launch/run/run_save.h"

#include "launch/run/run_measure.h"

Status run_save(Run *run) {
    run->saved_at = run->progress.train_s;
    run->saved_step = run->progress.step;
    run->save_is_late = false;
    double allowed = watchdog_allow(run->e.watchdog, SAVE_ALLOWANCE, "saving a checkpoint");
    Status status = data_identity_settle(&run->e.data);
    if (!failed(status)) status = run_energy_read(run);
    if (!failed(status)) status = training_gather_weights(run->e.training);
    if (!failed(status)) status = saver_gather(run->saver, &run->e);
    if (!failed(status)) status = saver_start(run->saver, &run->progress);
    (void)watchdog_allow(run->e.watchdog, allowed, "training");
    return status;
}

Status run_save_wait(Run *run) {
    double allowed = watchdog_allow(run->e.watchdog, SAVE_ALLOWANCE, "writing the last checkpoint");
    Status status = saver_finish(run->saver);
    (void)watchdog_allow(run->e.watchdog, allowed, "ending");
    return status;
}

bool run_save_is_due(const Run *run) {
    const ConfigInterval *interval = &run->e.config->checkpoint.interval;
    bool by_steps = interval->steps > 0 && run->progress.step - run->saved_step >= interval->steps;
    bool is_best = run->e.config->checkpoint.best && run->progress.best_step == run->progress.step;
    return run->save_is_late || by_steps || is_best;
}
