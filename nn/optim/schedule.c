#include "nn/optim/schedule.h"

#include <math.h>

double schedule_lr(const Schedule *s, int64_t step) {
    if (step < s->warmup) return s->lr * (double)(step + 1) / (double)(s->warmup + 1);
    if (step >= s->decay) return s->min_lr;
    double progress = (double)(step - s->warmup) / (double)(s->decay - s->warmup);
    return s->min_lr + (s->lr - s->min_lr) * 0.5 * (1.0 + cos(M_PI * progress));
}
