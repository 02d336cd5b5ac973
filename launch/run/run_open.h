/* How a run begins: its directory, the checkpoint that it resumes from, its logs. */
#pragma once

#include "launch/run/run.h"

/* Resolves each `auto` as the config.yaml of an existing run has it. Not collective. */
NODISCARD Status run_adopt(Run *run);

/* Creates the run directory or takes an existing run's, locks it, writes config.yaml and plan.json,
 * opens the logs and loads the newest good checkpoint. `resume` is auto, none or a checkpoint's
 * path. Collective.
 * Errors: STATUS_CONFIG where the directory is not this run's, STATUS_DATA for a bad checkpoint. */
NODISCARD Status run_open(Run *run, const char *resume);

/* Records in summary.json of the run's directory that the run did not fit the memory: "outcome":
 * "no_room" and the message; the rest of an earlier summary stays. The directory of another run, or
 * one in use, is left alone. Rank 0 writes; not collective. */
void run_note_no_room(Run *run, const char *message);
