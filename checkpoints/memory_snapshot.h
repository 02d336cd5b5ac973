/* Memory snapshots: the newest state of a run in the memory of a host, from which a run continues
 * that was killed. They are checkpoint files in a folder of /dev/shm, to which the link RUN/memory
 * points. The folder is hourglass-INODE-RANDOM, with the inode number of the run directory, so that
 * neither a copy of the directory nor a new one at its path uses or removes the snapshots of
 * another run. Not collective. */
#pragma once

#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MEMORY_FOLDER_BYTES = 64 };

/* Makes a name for a folder, and the link RUN/memory to it in place of an older one. Errors:
 * STATUS_FAILURE, also if something else is at RUN/memory. */
NODISCARD Status memory_folder_name(const char *run, char folder[MEMORY_FOLDER_BYTES]);

/* Creates the folder on this host. Errors: STATUS_OUT_OF_MEMORY if less than `bytes` are free in
 * /dev/shm; STATUS_CONFIG if nothing can be made there. */
NODISCARD Status memory_folder_create(const char *folder, size_t bytes);

/* Whether RUN/memory points to a folder that this run made on this host, for this user. */
bool memory_folder_find(const char *run, char folder[MEMORY_FOLDER_BYTES]);

/* Whether RUN/memory points to a folder that only other hosts may have. */
bool memory_is_elsewhere(const char *run);

/* Removes the folder of this host. */
void memory_folder_remove(const char *folder);

/* Removes the link RUN/memory, if it is one to a folder of this run. */
void memory_link_remove(const char *run);

/* The step of the newest snapshot with the right hash; -1: none. */
int64_t memory_snapshot_newest(const char *folder);

/* The bytes of all snapshots. */
size_t memory_snapshot_bytes(const char *folder);

/* Copies the snapshot of a step to DIR/step_%08d.h5, where it is durable when this returns. Creates
 * `dir`. Errors: STATUS_FAILURE; then nothing is there. */
NODISCARD Status memory_snapshot_to_disk(const char *folder, int64_t step, const char *dir);
