/* Ranks with different configs would train one model by several rules, without a word. */
#pragma once

#include "launch/run/experiment.h"

/* Compares the config, with the values that run_adopt has frozen, with that of rank 0. Paths of
 * data and `threads` may differ: data is compared by its content (data_identity.h). Collective.
 * Errors: STATUS_CONFIG with the first line that differs, on all ranks. */
NODISCARD Status config_agree(const Experiment *e);
