/* A command of Slurm. Its controller does not answer for a minute when it restarts. */
#pragma once

#include "core/status.h"

#include <stddef.h>

/* As process_run. While the controller does not answer, or no process can be started, it is run
 * again for three minutes, or until SIGTERM or Ctrl-C is a request. For a command that may be
 * repeated, which sbatch may not. */
NODISCARD Status slurm_command_run(char *const *arguments, char *output, char *errors,
                                   size_t capacity, int *code);
