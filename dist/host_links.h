/* Host links: TCP connections that tell whether another host still answers. Private to dist/.
 *
 * The first rank of each host connects to rank 0, over every IPv4 network that both share. Between
 * start and end the connections carry no data. The kernels probe them (TCP keepalive, tcp(7)) and
 * answer for a process however busy or stopped it is, so only a host that is down or cut off breaks
 * its connections, HOST_SILENT_SECONDS after its last answer. A process that ends breaks them at
 * once. A host counts as lost if none of its connections is left.
 *
 * Where no connection can be made (a firewall), nothing is watched, and the limits of watchdog.h
 * remain. */
#pragma once

#include "core/status.h"
#include "dist/types.h"

typedef struct HostLinks HostLinks;

enum { HOST_SILENT_SECONDS = 7 };

typedef enum HostLoss {
    HOST_PRESENT,
    HOST_SILENT, /* the host has not answered for HOST_SILENT_SECONDS, or cannot be reached */
    HOST_CLOSED  /* the process has ended some seconds ago, and no rank of its host reported it */
} HostLoss;

/* Connects the hosts; takes less than a few seconds. *out is NULL if all ranks share a host.
 * Collective. Errors: STATUS_OUT_OF_MEMORY, those of world_barrier. */
NODISCARD Status host_links_create(World *world, HostLinks **out);

/* Tells the other ends that this rank leaves as planned, and closes the connections. NULL-safe. */
void host_links_destroy(HostLinks **links);

/* Examines the connections, `elapsed` seconds since the last call. If a host is lost, *rank is its
 * first rank. NULL-safe. Does not block. Watchdog thread. */
HostLoss host_links_judge(HostLinks *links, double elapsed, int *rank);
