/* The attention backend of a run: attention.backends and attention.pick, decided from plans and
 * times. */
#pragma once

#include "launch/run/memory_search.h"

/* attention.pick: predicted. Leaves in `backends` the one with the most predicted tokens per
 * second: at the config's batch, or at its own largest one where that is auto. Nothing happens
 * under another rule, or where one backend is named. Collective: rank 0 decides. */
NODISCARD Status attention_pick_predicted(const Experiment *e, Probes *probes,
                                          ConfigChoices *backends);

/* attention.pick: measured. Rank 0 times every backend of `attention` that takes the call of a
 * batch of B, or reads the cached times (those alone where it only plans), and leaves the fastest
 * in `backends`, so that a resume takes the same. On rank 0 `attention` gets the seconds and *note
 * what the user must know of them, or NULL. Nothing happens under another rule, or where one
 * backend is named. Collective. */
NODISCARD Status attention_pick_measured(const Experiment *e, Probes *probes, int64_t B,
                                         KernelChoice *attention, const char **note,
                                         ConfigChoices *backends);

/* Every backend of the device beside the one that the experiment has recorded. `asked` is
 * attention.backends with measured times. Not collective. */
NODISCARD Status attention_compare(const Experiment *e, Probes *probes, const KernelChoice *asked,
                                   BackendTable *out);
