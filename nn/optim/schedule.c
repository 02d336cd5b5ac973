#include "nn/optim/schedule.h"

#include <math.h>

static double cosine(const Schedule *s, double step) {
    if (step >= s->decay) return s->min_lr;
    double progress = (step - s->warmup) / (s->decay - s->warmup);
    return s->min_lr + (s->lr - s->min_lr) * 0.5 * (1.0 + cos(M_PI * progress));
}

static double linear(const Schedule *s, double step) {
    if (step >= s->decay) return s->min_lr;
    double progress = (step - s->warmup) / (s->decay - s->warmup);
    return s->min_lr + (s->lr - s->min_lr) * (1.0 - progress);
}

static double warmup_stable_decay(const Schedule *s, double step) {
    if (step >= s->steps) return s->min_lr;
    if (step <= s->steps - s->decay) return s->lr;
    return s->min_lr + (s->lr - s->min_lr) * (s->steps - step) / s->decay;
}

double schedule_lr(const Schedule *s, int64_t step) {
    double at = (double)step;
    if (at < s->warmup) return s->lr * (at + 1) / (s->warmup + 1);
    switch (s->shape) {
    case SCHEDULE_COSINE: return cosine(s, at);
    case SCHEDULE_LINEAR: return linear(s, at);
    case SCHEDULE_WSD: return warmup_stable_decay(s, at);
    case SCHEDULE_CONSTANT: break;
    }
    return s->lr;
}
