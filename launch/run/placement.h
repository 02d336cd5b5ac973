/* Placement: which rank computes on which device, said once, and checked. */
#pragma once

#include "launch/run/experiment.h"

/* Learns whether ranks share a GPU; refuses it where the config does not ask for it. Collective,
 * and agreed: all ranks get the same Status. Errors: STATUS_CONFIG naming both ranks and the
 * GPU. */
NODISCARD Status placement_check(const Experiment *e, bool *shares);

/* The table of rank, host and GPU, a line each; "" where there is one rank or no GPU. In the arena,
 * on rank 0; NULL on the others. Collective. */
NODISCARD Status placement_table(const Experiment *e, Arena *arena, char **out);
