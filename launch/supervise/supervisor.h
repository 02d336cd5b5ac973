/* Supervisor: starts a run, and starts it again after a failure that is not the config's or the
 * data's, from its newest checkpoint.
 *
 * Each start uses the hosts that answer and the most ranks that they have slots for, if
 * gradient_accumulation_steps can keep the global batch. Before each further start it waits 1 s, 2
 * s, 4 s, ... up to a minute. It gives up after `tries` failures without a new checkpoint, and then
 * names the first of them.
 *
 * RUN/incidents.jsonl has one object per failure: time, attempt, ranks, hosts, seconds, exit,
 * cause, checkpoint (its step; -1: none), and `failures` since that checkpoint was new. In a Slurm
 * job the supervisor requeues the job in place of a further start, unless Slurm refuses or the
 * incident could not be noted, which a requeued job counts. */
#pragma once

#include "core/status.h"
#include "launch/config/config.h"
#include "launch/supervise/supervise_options.h"

/* Runs to the end. *code = the exit code of the run, 0 if it is done, 75 if it was stopped on
 * request. Errors: STATUS_FAILURE with the first cause if it gives up. */
NODISCARD Status supervisor_run(const Config *config, const SupervisorOptions *options, int *code);
