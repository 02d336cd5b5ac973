/* The learning rate: linear warm-up, then a cosine to min_lr at step `decay`, min_lr after it.
 *
 *     lr(s) = lr (s + 1) / (warmup + 1)                                     s < warmup
 *     lr(s) = min_lr + (lr - min_lr) (1 + cos(pi (s - warmup) / (decay - warmup))) / 2
 *
 * Source: Loshchilov and Hutter, arXiv:1608.03983, equation 5, without restarts. */
#pragma once

#include <stdint.h>

typedef struct Schedule {
    double lr, min_lr;
    int64_t warmup, decay; /* in optimizer steps */
} Schedule;

double schedule_lr(const Schedule *schedule, int64_t step);
