/* The start of a run: its directory, the checkpoint that it resumes from, its logs. */
#pragma once

#include "launch/run/run.h"

/* Resolves each `auto` to its value in the config.yaml of an existing run. Not collective. */
NODISCARD Status run_adopt(Run *run);

/* Creates the run directory or takes an existing run's, locks it, writes config.yaml and plan.json,
 * opens the logs and loads the newest good checkpoint. `resume` is auto, none or a checkpoint's
 * path. Collective. Errors: STATUS_CONFIG if the directory belongs to another run, STATUS_DATA for
 * a bad checkpoint. */
NODISCARD Status run_open(Run *run, const char *resume);

/* Records in summary.json of the run's directory that the run did not fit the memory: "outcome":
 * "no_room" and the message; keeps the other values of an earlier summary. Leaves the directory of
 * another run, or one in use, unchanged. Rank 0 writes; not collective. */
void run_note_no_room(Run *run, const char *message);
