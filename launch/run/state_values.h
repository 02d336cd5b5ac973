/* The values of a run's checkpoint, for savers. Not collective. */
#pragma once

#include "launch/run/state.h"

enum { STATE_VALUES_MAX = 21 + DATA_IDENTITY_VALUES };

typedef struct StateValues {
    CheckpointValue list[STATE_VALUES_MAX];
    int count;
    char *config; /* the text of the resolved config */
} StateValues;

/* Errors: STATUS_OUT_OF_MEMORY. */
NODISCARD Status state_values_create(const Experiment *e, StateValues *out);
void state_values_free(StateValues *values);

void state_values_set(StateValues *values, const Experiment *e, const Progress *progress);
