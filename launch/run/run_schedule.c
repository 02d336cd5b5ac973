#include "launch/run/run_schedule.h"

#include "launch/config/value.h"
#include "launch/run/config_groups.h"

#include <math.h>
#include <stdio.h>

static double lesser(double a, double b) { return a < b ? a : b; }

/* Steps that fit into the time limit. */
static double steps_by_time(const Experiment *e, RunPosition at) {
    double limit = e->config->training.stop.time, seconds = e->planned.seconds[0];
    if (at.step > 0 && at.train_s > 0) return (double)at.step * limit / at.train_s;
    return seconds > 0 ? limit / seconds : RUN_STEPS_UNKNOWN;
}

static double steps_of_tokens(const Experiment *e, RunPosition at, int64_t tokens) {
    bool varies = e->config->training.batch_schedule.count > 1;
    if (varies && at.step > 0) return (double)at.step * (double)tokens / (double)at.tokens;
    int64_t each = experiment_tokens_per_step(e), steps = tokens / each + (tokens % each > 0);
    return (double)steps;
}

double run_steps(const Experiment *e, RunPosition at) {
    const ConfigStop *stop = &e->config->training.stop;
    double steps = RUN_STEPS_UNKNOWN;
    if (stop->steps > 0) steps = lesser(steps, (double)stop->steps);
    if (stop->tokens > 0) steps = lesser(steps, steps_of_tokens(e, at, stop->tokens));
    if (stop->time > 0) steps = lesser(steps, steps_by_time(e, at));
    return steps;
}

static double length_steps(const Experiment *e, RunPosition at, const ConfigLength *length,
                           double steps) {
    if (length->percent > 0) return length->percent / 100 * steps;
    return length->tokens > 0 ? steps_of_tokens(e, at, length->tokens) : (double)length->steps;
}

/* The factor of all learning rates: (tokens a step / batch_tokens)^exponent. */
static double reference_scale(const Experiment *e) {
    const ConfigLrReference *reference = &e->config->optimizer.lr_reference;
    if (reference->batch_tokens == 0) return 1;
    double tokens = (double)experiment_tokens_per_step(e);
    return pow(tokens / (double)reference->batch_tokens, reference->exponent);
}

/* Steps of this many tokens until both limits; 0: no such limit. */
static double steps_until(double steps, double tokens, RunPosition at, double each) {
    double left = INFINITY;
    if (steps > 0) left = lesser(left, ceil(steps - (double)at.step));
    if (tokens > 0) left = lesser(left, ceil((tokens - (double)at.tokens) / each));
    return fmax(left, 0);
}

static double steps_until_phase(const ConfigStop *stop, const ConfigLength *from, RunPosition at,
                                double each) {
    double share = from->percent / 100;
    if (share > 0)
        return steps_until(share * (double)stop->steps, share * (double)stop->tokens, at, each);
    return steps_until((double)from->steps, (double)from->tokens, at, each);
}

/* Where the run ends by steps or tokens, phase by phase from here on. */
static RunPosition run_end(const Experiment *e, RunPosition at) {
    const ConfigStop *stop = &e->config->training.stop;
    Phases phases = experiment_phases(e);
    Experiment then = *e;
    double to_end, to_next;
    then.phase = phases_at(&phases, stop, at);
    do {
        double each = (double)experiment_tokens_per_step(&then);
        to_end = steps_until((double)stop->steps, (double)stop->tokens, at, each);
        to_next = ++then.phase == phases.count
                      ? INFINITY
                      : steps_until_phase(stop, &phases.from[then.phase], at, each);
        double steps = lesser(to_end, to_next);
        at.step += (int64_t)steps;
        at.tokens += (int64_t)(steps * each);
    } while (to_next < to_end);
    return at;
}

/* The decay at the end of the run. Steps and tokens are not proportional during a batch_schedule:
 * a decay in the other unit than the end's is as long as the same part of what is left. */
static double decay_steps(const Experiment *e, RunPosition at, double steps) {
    const Config *c = e->config;
    const ConfigLength *decay = &c->lr_scheduler.decay;
    double length = length_steps(e, at, decay, steps);
    if (c->lr_scheduler.shape != SCHEDULE_WSD || c->training.batch_schedule.count < 2 ||
        c->training.stop.time > 0 || decay->percent > 0)
        return length;
    RunPosition end = run_end(e, at);
    if (end.step <= at.step) return length;
    double part = decay->tokens > 0 ? (double)decay->tokens / (double)(end.tokens - at.tokens)
                                    : (double)decay->steps / (double)(end.step - at.step);
    return part * (steps - (double)at.step);
}

Schedule run_schedule(const Experiment *e, RunPosition at) {
    const ConfigSchedule *s = &e->config->lr_scheduler;
    double steps = run_steps(e, at), scale = reference_scale(e);
    return (Schedule){.shape = s->shape,
                      .lr = e->config->optimizer.lr * scale,
                      .min_lr = s->min_lr * scale,
                      .warmup = length_steps(e, at, &s->warmup, steps),
                      .decay = decay_steps(e, at, steps),
                      .steps = steps};
}

bool run_schedule_is_timed(const Config *config) {
    const ConfigSchedule *s = &config->lr_scheduler;
    bool has_share = s->warmup.percent > 0 || s->decay.percent > 0 || s->shape == SCHEDULE_WSD;
    return (config->training.stop.time > 0 && has_share) || phases_are_timed(config);
}

void rates_remark(const Experiment *e, char *text, size_t bytes) {
    const ConfigOptimizer *o = &e->config->optimizer;
    int64_t tokens = experiment_tokens_per_step(e);
    text[0] = '\0';
    if (o->lr_reference.batch_tokens == 0 && o->beta2_half_life == 0) return;
    snprintf(text, bytes, "lr %.3g and beta2 %.4f for %lld tokens a step",
             o->lr * reference_scale(e), config_beta2(e->config, (double)tokens),
             (long long)tokens);
}

static void windows_write(const LayerPattern *windows, FILE *file) {
    fputs(windows->count > 1 ? ", windows" : ", window", file);
    for (int i = 0; i < windows->count; i++) {
        fputc(' ', file);
        if (windows->items[i] > 0)
            fprintf(file, "%lld", (long long)windows->items[i]);
        else
            fputs("full", file);
    }
}

void phase_describe(const Experiment *e, int phase, char *text, size_t bytes) {
    Experiment then = *e;
    Phases phases = experiment_phases(e);
    FILE *file = fmemopen(text, bytes - 1, "w");
    text[0] = text[bytes - 1] = '\0'; /* a longer text is cut */
    if (file == NULL) return;
    then.phase = phase;
    const ConfigLength *from = &phases.from[phase];
    fprintf(file, "phase %d of %d, from %s", phase + 1, phases.count,
            value_length_unit(from) == LENGTH_STEPS ? "step " : "");
    value_write_length(*from, file);
    fprintf(file, ": accumulation %lld, %lld tokens a step",
            (long long)experiment_accumulation(&then),
            (long long)experiment_tokens_per_step(&then));
    if (e->config->optimizer.lr_reference.batch_tokens > 0)
        fprintf(file, ", learning rates x %.3g", reference_scale(&then));
    if (phases.list[phase].windows != NULL) windows_write(phases.list[phase].windows, file);
    if (e->planned.seconds[phase] > 0)
        fprintf(file, ", predicted %.2f ms a step", 1e3 * e->planned.seconds[phase]);
    fclose(file);
}

void schedule_remark(const Experiment *e, char *text, size_t bytes) {
    double steps = run_steps(e, (RunPosition){0});
    Schedule s = run_schedule(e, (RunPosition){0});
    int64_t last = (int64_t)steps - 1;
    bool falls = s.shape == SCHEDULE_COSINE || s.shape == SCHEDULE_LINEAR;
    text[0] = '\0';
    if (steps >= RUN_STEPS_UNKNOWN) return;
    if (s.warmup >= steps) {
        snprintf(text, bytes,
                 "warning: lr_scheduler.warmup: %.0f steps, but the run ends after %.0f: the "
                 "learning rate comes to %.1e and never reaches %g",
                 s.warmup, steps, schedule_lr(&s, last), s.lr);
    } else if (s.shape == SCHEDULE_WSD && s.warmup + s.decay > steps) {
        snprintf(text, bytes,
                 "warning: lr_scheduler: warm-up of %.0f steps and decay of %.0f, but the run ends "
                 "after %.0f: the learning rate does not stay at %g",
                 s.warmup, s.decay, steps, s.lr);
    } else if (falls && s.warmup > s.decay) {
        snprintf(
            text, bytes,
            "warning: lr_scheduler.warmup: %.0f steps, but lr_scheduler.decay ends after %.0f: "
            "the learning rate falls at once to min_lr, %g",
            s.warmup, s.decay, s.min_lr);
    } else if (falls && s.decay > steps) {
        snprintf(text, bytes,
                 "warning: lr_scheduler.decay: %.0f steps, but the run ends after %.0f: the "
                 "learning rate ends at %.1e and not at min_lr, %g",
                 s.decay, steps, schedule_lr(&s, last), s.min_lr);
    }
}
