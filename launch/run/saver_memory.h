/* Host memory for saving a checkpoint. */
#pragma once

#include "launch/config/config.h"
#include "nn/parameters.h"

/* Bytes of one kind of state of the whole model. */
size_t saver_state_bytes(const Parameters *parameters, int kind);

/* Whether the host needs a copy of this state, because it is on a GPU or sharded over ranks. */
bool saver_is_copied(const Parameters *parameters, DeviceKind device, int kind);

/* Files in /dev/shm: with checkpoint.memory_interval the newest one and the one being written. */
int saver_memory_files(const Config *config);

/* Bytes of these files. */
size_t saver_memory_bytes(const Config *config, const Parameters *parameters);

/* Host memory for saving a shard; 0 without checkpoint.sharded. */
size_t saver_shard_bytes(const Config *config, const Parameters *parameters, DeviceKind device);

/* Host memory of a snapshot: copies of the state, and the image of the file. With
 * checkpoint.sharded that of a shard, and that of a whole file only for snapshots in memory. */
size_t saver_bytes(const Config *config, const Parameters *parameters, DeviceKind device);
