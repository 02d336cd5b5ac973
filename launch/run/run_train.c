#include "launch/run/run_train.h"

#include "core/base/clock.h"
#include "launch/run/run_log.h"
#include "launch/run/run_measure.h"
#include "launch/run/run_memory.h"
#include "launch/run/run_save.h"
#include "launch/run/run_step.h"
#include "launch/run/run_stop.h"

#include <signal.h>
#include <string.h>

/* After the first step: reports the time since the start of the process, by stage. */
static Status started(Run *run) {
    TRY(run_results_finish(run));
    run_mark(run, "first step");
    run->start_s = run->marked_at - run->born;
    (void)watchdog_allow(run->e.watchdog, 0, "training");
    metrics_say(run->metrics, "started in %.2f s: %s", run->start_s, run->stages);
    return OK;
}

static bool evaluation_is_due(const Run *run) {
    const ConfigEvaluation *evaluation = &run->e.config->evaluation;
    int64_t interval = evaluation->interval, step = run->progress.step;
    if (run->evaluator == NULL || run->progress.evaluated_step == step) return false;
    return step == 0 ? evaluation->at_start : interval > 0 && step % interval == 0;
}

/* The evaluation before the first step of this process: that of step 0, or the one that was
 * interrupted before the resume. */
static Status evaluate_first(Run *run) {
    TRY(run_alone(run, run_evaluate(run, false)));
    run_mark(run, "evaluation");
    return run_save_is_due(run) ? run_alone(run, run_save(run)) : OK;
}

/* One step and all that is due after it. */
static Status advance(Run *run) {
    if (evaluation_is_due(run)) return evaluate_first(run);
    TRY(run_alone(run, run_step(run)));
    if (run->start_s == 0) TRY(run_alone(run, started(run)));
    TRY(run_alone(run, run_log_step(run)));
    TRY(run_alone(run, data_identity_look(&run->e.data)));
    TRY(run_finite_check(run));
    if (evaluation_is_due(run)) TRY(run_alone(run, run_evaluate(run, false)));
    bool saves = run_save_is_due(run);
    if (!saves && !run->memory_is_late) return OK;
    TRY(run_alone(run, run_results_finish(run)));
    TRY(run_finite_check(run)); /* no bad state is saved */
    return run_alone(run, saves ? run_save(run) : run_save_memory(run));
}

/* An interruption by a signal is not a failure: the caller reads the stop request next. */
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
    TRY(run_save_wait(run));
    const char *name = strsignal(signals_number() == 0 ? SIGTERM : signals_number());
    int64_t kept = run->memory_is_missed ? run->saved_step : run->kept_step;
    if (kept == 0) {
        return ERROR(STATUS_FAILURE,
                     "stopped by %s at step %lld, before the first checkpoint; the same command "
                     "starts anew (SIGUSR1 "
                     "saves before it stops)",
                     name, (long long)run->progress.step);
    }
    return ERROR(STATUS_FAILURE,
                 "stopped by %s at step %lld; the last checkpoint (step %lld) is good, the same "
                 "command goes on from it",
                 name, (long long)run->progress.step, (long long)kept);
}

static Status finish(Run *run, StopRequest request) {
    TRY(run_alone(run, run_results_finish(run)));
    TRY(run_finite_check(run));
    bool evaluates = request == STOP_BUDGET && run->progress.evaluated_step != run->progress.step;
    if (evaluates) {
        Status evaluated = run_alone(run, run_evaluate(run, true));
        TRY(unless_cut(evaluated));
        if (failed(evaluated)) request = STOP_SAVE;
    }
    if (evaluates || run->progress.step != run->saved_step || run->progress.step == 0)
        TRY(run_alone(run, run_save(run)));
    TRY(run_alone(run, run_save_wait(run)));
    run_memory_remove(run);
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
    run->logged_tokens = run->progress.tokens;
    run->results_step = -1;
    run->logged_joules = run->progress.joules;
    TRY(run_alone(run, run_energy_open(run)));
    TRY(train_steps(run, &request));
    return request == STOP_NOW ? stop_now(run) : finish(run, request);
}
