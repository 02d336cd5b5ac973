/* The learning rate of step s, from 0: a linear warm-up, then one of four shapes.
 *
 *     lr(s) = lr (s + 1) / (warmup + 1)                                                s < warmup
 *     cosine:   min_lr + (lr - min_lr) (1 + cos(pi (s - warmup) / (decay - warmup))) / 2   s <
 * decay linear:   min_lr + (lr - min_lr) (1 - (s - warmup) / (decay - warmup))               s <
 * decay wsd:      lr up to steps - decay, then min_lr + (lr - min_lr) (steps - s) / decay    s <
 * steps constant: lr
 *
 * and min_lr later. For wsd (warm-up, stable, decay) `decay` is the length of the decay at the end,
 * for cosine and linear the step at which it ends.
 *
 * Sources: Loshchilov and Hutter, arXiv:1608.03983, equation 5, without restarts; Hu et al.,
 * arXiv:2404.06395, section 4 (wsd); Bergsma et al., arXiv:2502.15938 (linear to 0). */
#pragma once

#include <stdint.h>

typedef enum ScheduleShape {
    SCHEDULE_COSINE,
    SCHEDULE_LINEAR,
    SCHEDULE_WSD,
    SCHEDULE_CONSTANT
} ScheduleShape;

typedef struct Schedule {
    ScheduleShape shape;
    double lr, min_lr;
    double warmup, decay, steps; /* in optimizer steps; `steps` of the run, for wsd */
} Schedule;

double schedule_lr(const Schedule *schedule, int64_t step);
