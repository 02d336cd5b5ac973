/* The tensors of a run's checkpoint, for saver.h and state.h. Not collective. */
#pragma once

#include "checkpoints/checkpoint.h"
#include "launch/run/experiment.h"

/* Whether parameter `index` has a state of this kind. */
bool state_has(const Parameters *parameters, int kind, int index);

/* The file's tensor of parameter `index`, STATE.PARAMETER, such as m.wte.weight; `data` points to
 * the state of the whole model on the host. */
NODISCARD Status state_describe_tensor(const Parameters *parameters, int kind, int index,
                                       const void *data, Arena *arena, CheckpointTensor *out);

/* The content of a file, in an arena: all states of all parameters that have them. */
NODISCARD Status state_describe(const Parameters *parameters, void *const data[STATE_KINDS_MAX],
                                Arena *arena, CheckpointContents *out);

/* The first element of this rank's shard of a bucket, if its shards of a state lie one after the
 * other. */
int64_t state_shard_place(const Parameters *parameters, int kind, int bucket);

/* This rank's shard of a bucket, in the section of its state. */
Tensor state_shard(const Parameters *parameters, int kind, int bucket);

/* The content of this rank's shard of a checkpoint (checkpoints/shards.h), in an arena: its parts
 * of all states. host[kind]: a copy of this rank's shards by state_shard_place; NULL: the data are
 * those of the section, in host memory. */
NODISCARD Status state_describe_parts(const Parameters *parameters,
                                      void *const host[STATE_KINDS_MAX], Arena *arena,
                                      CheckpointContents *out);

/* The scales of eight-bit training, which are the same on all ranks. */
enum { FLOAT8_TENSORS = 2 };
bool state_has_scales(const Experiment *e);
void state_describe_scales(const Float8 *f8, CheckpointTensor out[FLOAT8_TENSORS],
                           const Tensor *tensors[FLOAT8_TENSORS]);

/* Adds the scales to the content of a file, if there are any. They lie in scales[], which
 * state_download_scales fills. */
NODISCARD Status state_add_scales(const Experiment *e, Arena *arena, void *scales[FLOAT8_TENSORS],
                                  CheckpointContents *contents);
NODISCARD Status state_download_scales(const Experiment *e, void *const scales[FLOAT8_TENSORS]);

/* Lets a save of the content wait for the copies of the state that this device has begun
 * (device_copy_start). */
void state_copied_from(Device *device, CheckpointContents *contents);
