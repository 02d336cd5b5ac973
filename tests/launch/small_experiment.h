/* An experiment of a config without files or device, for schedules over a run. */
#pragma once

#include "launch/run/experiment.h"

/* Two ranks of 4 sequences of 32 tokens: 256 tokens a micro-batch. */
static inline Experiment experiment_of(const Config *config) {
    Experiment e = {.plan = {.ranks = 2}};
    experiment_configure(&e, config);
    e.T = 32;
    e.resolved.batch_size = 4;
    return e;
}
