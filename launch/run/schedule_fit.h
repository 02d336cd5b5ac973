/* Whether the learning rate's schedule fits the run: the defaults are those of 600,000 steps. */
#pragma once

#include "launch/run/experiment.h"

/* One line where training.stop ends the run before lr_scheduler.warmup or lr_scheduler.decay is
 * over; "" where not, and where time alone ends it. Not collective; the batch is decided. */
void schedule_remark(const Experiment *e, char *text, size_t bytes);
