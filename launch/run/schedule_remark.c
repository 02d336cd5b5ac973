#include "launch/run/schedule_remark.h"

#include "nn/optim/schedule.h"

#include <stdio.h>

/* The maximum number of steps; 0: unlimited. */
static int64_t steps_most(const Experiment *e) {
    const ConfigStop *stop = &e->config->training.stop;
    int64_t each = experiment_tokens_per_step(e), steps = stop->steps;
    int64_t by_tokens = stop->tokens / each + (stop->tokens % each > 0);
    return steps > 0 && (by_tokens == 0 || steps < by_tokens) ? steps : by_tokens;
}

void schedule_remark(const Experiment *e, char *text, size_t bytes) {
    const ConfigSchedule *s = &e->config->lr_scheduler;
    Schedule schedule = {e->config->optimizer.lr, s->min_lr, s->warmup, s->decay};
    int64_t steps = steps_most(e);
    text[0] = '\0';
    if (steps == 0) return;
    if (s->warmup >= steps) {
        snprintf(text, bytes,
                 "warning: lr_scheduler.warmup: %lld steps, but the run ends after %lld: the "
                 "learning rate comes to %.1e "
                 "and never reaches %g",
                 (long long)s->warmup, (long long)steps, schedule_lr(&schedule, steps - 1),
                 schedule.lr);
    } else if (s->decay > steps) {
        snprintf(text, bytes,
                 "warning: lr_scheduler.decay: %lld steps, but the run ends after %lld: the "
                 "learning rate ends at %.1e "
                 "and not at min_lr, %g",
                 (long long)s->decay, (long long)steps, schedule_lr(&schedule, steps - 1),
                 schedule.min_lr);
    }
}
