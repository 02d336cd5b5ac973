/* Preparation: from the inputs of ./prepare to its token files. */
#pragma once

#include "core/status.h"
#include "launch/prepare/prepare_options.h"

#include <signal.h>

/* prepare_run: reads the inputs, writes the files in options->out, and prints a line about them.
 * After a failure the directory is as before. *interrupted: set by a signal handler, to its number,
 * ends the work with a failure. Not collective.
 *   Errors: STATUS_USAGE for options that exclude each other; STATUS_DATA for inputs that cannot be
 *   read, and for a directory in which another ./prepare writes; STATUS_FAILURE of the disk. */
NODISCARD Status prepare_run(const PrepareOptions *options, char *const *inputs, int count,
                             const volatile sig_atomic_t *interrupted);
