/* The command line of ./supervise. */
#pragma once

#include <stdint.h>

typedef struct SupervisorOptions {
    int64_t ranks, tries;
    const char *hostfile; /* NULL: this host, or the hosts of the Slurm job */
    const char *config_path;
    char *const *overrides; /* (override_count) */
    int override_count;
} SupervisorOptions;
