/* Compares the learning rate schedule with the length of the run: the defaults are for 600,000
 * steps. */
#pragma once

#include "launch/run/experiment.h"

/* A warning if training.stop ends the run before the end of lr_scheduler.warmup or
 * lr_scheduler.decay; "" otherwise, and if only a time limit ends the run. Not collective; requires
 * the resolved batch. */
void schedule_remark(const Experiment *e, char *text, size_t bytes);
