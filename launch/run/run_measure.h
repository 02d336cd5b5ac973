/* What a run measures beside the loss: the gradient noise scale and the energy. */
#pragma once

#include "launch/run/run.h"

/* Opens the counters of energy that this rank reads; the ranks of a host that share a device count
 * it once. Not collective. */
NODISCARD Status run_energy_open(Run *run);

/* Updates progress.joules: over all ranks and resumes, NaN if a part of the run was not measured.
 * Collective. */
NODISCARD Status run_energy_read(Run *run);

/* Keeps up with counters that wrap; call it every step. Costs nanoseconds. Not collective. */
void run_energy_poll(Run *run);

/* Whether the next step measures the noise scale: every noise_scale.interval steps. The same on all
 * ranks. Not collective. */
bool run_noise_is_due(const Run *run);

/* Start to read, and take, what a measured step has found; take does nothing without a start.
 * `is_finite`: of the step. Not collective. */
NODISCARD Status run_noise_start(Run *run);
NODISCARD Status run_noise_take(Run *run, bool is_finite);

/* The noise scale in tokens; NaN if it is unknown. */
double run_noise_tokens(const Run *run);
