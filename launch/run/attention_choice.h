/* The attention backend of a run: attention.backends and attention.pick, decided from plans and
 * times. */
#pragma once

#include "launch/run/memory_search.h"

/* attention.pick: predicted. Leaves in `backends` the one with the most predicted tokens per
 * second: at the config's batch, or at the backend's largest one if that is auto. Does nothing for
 * other rules, or if only one backend is named. Collective: rank 0 decides. */
NODISCARD Status attention_pick_predicted(const Experiment *e, Probes *probes,
                                          ConfigChoices *backends);

/* attention.pick: measured. Rank 0 times every backend of `attention` that accepts the call of a
 * batch of B, or reads cached times (only these with --plan), and leaves the fastest in `backends`,
 * so that a resume uses the same one. On rank 0 it sets the seconds in `attention`, and *note to a
 * remark for the user, or NULL. Does nothing for other rules, or if only one backend is named.
 * Collective. */
NODISCARD Status attention_pick_measured(const Experiment *e, Probes *probes, int64_t B,
                                         KernelChoice *attention, const char **note,
                                         ConfigChoices *backends);

/* Compares every backend of the device with the one that the experiment has recorded. `asked` is
 * attention.backends with measured times. Not collective. */
NODISCARD Status attention_compare(const Experiment *e, Probes *probes, const KernelChoice *asked,
                                   BackendTable *out);
