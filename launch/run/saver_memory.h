/* Host memory for saving a checkpoint. */
#pragma once

#include "nn/parameters.h"

/* Bytes of one kind of state of the whole model. */
size_t saver_state_bytes(const Parameters *parameters, int kind);

/* Whether the host needs a copy of this state, because it is on a GPU or sharded over ranks. */
bool saver_is_copied(const Parameters *parameters, DeviceKind device, int kind);

/* Files in /dev/shm with checkpoint.memory_interval: the newest one and the one being written. */
enum { MEMORY_SNAPSHOTS = 2 };

/* Host memory of a snapshot: copies of the state, the image of the file, and `files` files in
 * memory. */
size_t saver_bytes(const Parameters *parameters, DeviceKind device, int files);
