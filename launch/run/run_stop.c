#include "launch/run/run_stop.h"

#include "launch/run/run_memory.h"

/* Whether a slow disk can write a checkpoint before the launcher kills this process. */
static bool save_fits(const Run *run) {
    const double bytes_a_second = 1e8, margin = 0.4;
    double needs = margin + (double)run->e.planned.checkpoint_bytes / bytes_a_second;
    return signals_age() + needs < world_kill_seconds(run->e.world);
}

static StopRequest request_of_rank(const Run *run) {
    StopRequest request = signals_request();
    if (request == STOP_NOW && save_fits(run)) return STOP_SAVE;
    bool is_done = world_rank(run->e.world) == 0 && run_is_done(run);
    return request == STOP_NONE && is_done ? STOP_BUDGET : request;
}

Status run_agree_request(Run *run, StopRequest *out) {
    const ConfigInterval *interval = &run->e.config->checkpoint.interval;
    bool leads = world_rank(run->e.world) == 0;
    bool is_late = interval->seconds > 0 && run_seconds(run) - run->saved_at >= interval->seconds;
    bool memory_is_late = leads && run_memory_is_due(run);
    int64_t wish = 4 * (int64_t)request_of_rank(run) + 2 * memory_is_late + (leads && is_late);
    TRY(world_max_i64(run->e.world, &wish));
    run->agreed_s = run->progress.train_s;
    if (run_schedule_is_timed(run->e.config))
        TRY(world_broadcast(run->e.world, &run->agreed_s, sizeof run->agreed_s));
    run->save_is_late = wish % 2 != 0;
    run->memory_is_late = wish / 2 % 2 != 0;
    *out = (StopRequest)(wish / 4);
    return OK;
}
