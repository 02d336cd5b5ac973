/* The parameter groups of a config: those of optimizer.groups, then one for each kind. */
#pragma once

#include "launch/config/config.h"
#include "nn/parameters.h"

/* Adds the groups to parameters that are not laid out yet. `tokens`: of a step, for
 * optimizer.beta2_half_life. Errors: STATUS_OUT_OF_MEMORY. */
NODISCARD Status config_groups_add(const Config *config, double tokens, Parameters *parameters);

/* AdamW's second beta for this number of tokens a step: 0.5^(tokens / optimizer.beta2_half_life),
 * or that of optimizer.betas. */
double config_beta2(const Config *config, double tokens);

/* Checks the patterns of optimizer.groups against the parameters. Errors: STATUS_CONFIG with the
 * position of a pattern that matches nothing, a parameter of an earlier pattern, or a vector for
 * Muon. */
NODISCARD Status config_groups_check(const Config *config, const Parameters *parameters);
