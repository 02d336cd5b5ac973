/* Compares the learning rate schedule with the length of the run: the defaults are for 600,000
 * steps. */
#pragma once

#include "launch/run/experiment.h"

/* A warning where training.stop ends the run before lr_scheduler.warmup or lr_scheduler.decay is
 * over; "" otherwise, and where only time ends it. Not collective; requires the resolved batch. */
void schedule_remark(const Experiment *e, char *text, size_t bytes);
