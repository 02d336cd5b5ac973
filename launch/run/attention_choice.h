/* Which attention backend a run takes: attention.backends and attention.pick made real. */
#pragma once

#include "launch/run/experiment.h"
#include "launch/run/metrics.h"

#include <jansson.h>
#include <stdio.h>

/* Picks by the config's order for a batch of B. Collective. Errors: STATUS_CONFIG where no backend
 * takes the call. */
NODISCARD Status attention_settle(Experiment *e, int64_t B);

/* attention.pick: measured: rank 0 times what can run (or reads the cache; only that where there is
 * no run), every rank picks by its times, and the config's backends become the one that was picked,
 * so that a resume takes the same. *changed: it is not the one before. Nothing happens under
 * attention.pick: order, or where one backend is named. Collective. */
NODISCARD Status attention_settle_measured(Experiment *e, int64_t B, bool *changed);

/* Fills e->attention_table for a batch of B. Plans are recorded for each backend: e's own is made
 * after it. Not collective. */
NODISCARD Status attention_compare(Experiment *e, int64_t B);

/* The table for people, and for plan.json. */
void attention_print(const Experiment *e, FILE *file);
json_t *attention_json(const Experiment *e);

/* Says at a run's start which backends were refused, and what was measured. */
void attention_say(const Experiment *e, Metrics *metrics);
