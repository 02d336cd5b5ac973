/* Resolved: the values that replace `auto` in one run. The config itself is read-only after
 * loading. Nothing here is collective. */
#pragma once

#include "launch/config/config.h"

typedef struct Resolved {
    int64_t vocab_size;  /* model.vocab_size */
    int64_t end_of_text; /* data.end_of_text; CONFIG_AUTO: unknown */
    int64_t batch_size;  /* data.batch_size; CONFIG_AUTO until the memory search has run */
    ConfigBatchSchedule batch_schedule; /* training.batch_schedule, in whole micro-batches */
    ConfigChoices backends; /* attention.backends; one, after attention.pick has compared speeds */
} Resolved;

/* Copies the config's values. */
Resolved resolved_from(const Config *config);

/* Takes the saved run's value for each `auto` of the config, and the backend that the saved run
 * selected by its speed. */
void resolved_adopt(Resolved *resolved, const Config *config, const Config *saved);

/* A copy of the config with the resolved values, for writing or comparing. It borrows the strings
 * of `config`: do not destroy it. */
Config config_resolved(const Config *config, const Resolved *resolved);
