/* The hosts of a hostfile as mpirun reads it: `NAME slots=N`, with `#` comments, or a line for each
 * slot. */
#pragma once

#include "core/base/arena.h"
#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct SupervisedHost {
    const char *name;
    int64_t slots; /* of all its lines; 1 of a line that has none */
    bool answers;
    const char *reason; /* why it does not; NULL if it does */
} SupervisedHost;

typedef struct HostList {
    SupervisedHost *items;
    int count;
} HostList;

/* In the arena. 127.0.0.1 and ::1 become localhost, the only name of this host that every mpirun
 * reads. Errors: STATUS_CONFIG with file and line; STATUS_DATA if there is no such file. */
NODISCARD Status hosts_read(const char *path, Arena *arena, HostList *out);

/* Sets `answers`: runs `true` on every host at the same time, through mpirun's remote shell
 * ($OMPI_MCA_plm_rsh_agent, else ssh). The last line of its standard error is the `reason` of a
 * host that does not answer, as one that takes more than a few seconds; this host answers. */
NODISCARD Status hosts_probe(HostList *hosts, Arena *arena);

/* The slots of the hosts that answer. */
int64_t hosts_slots(const HostList *hosts);

/* The slots of this host; 0 if it is not listed. */
int64_t hosts_slots_here(const HostList *hosts);

/* Whether a host that answers is another than this one. */
bool hosts_are_elsewhere(const HostList *hosts);

/* Writes a hostfile of the hosts that answer. */
NODISCARD Status hosts_write(const HostList *hosts, const char *path);
