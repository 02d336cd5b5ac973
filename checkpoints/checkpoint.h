/* Checkpoints: named tensors and values in an HDF5 file that is complete or absent.
 *
 * The file is an HDF5 image (readable with h5dump or h5py) followed by a trailer of 56 bytes,
 * little-endian:
 *    0  "HGCKPT\r\n"     8  version 1, u64      16  bytes of the image, u64      24  step, i64
 *   32  XXH3-128 of the image, canonical       48  XXH3-64 of the 48 bytes before
 * In the image, tensors are contiguous datasets by name; numbers are attributes of the root group;
 * texts are scalar string datasets in the group "text".
 *
 * Saving: a snapshot copies everything into an image in memory, in part while it is written. The
 * image is written to a temporary file in the same directory, synced, and renamed. HDF5 never
 * writes to a disk, because it crashes when that is full. Loading: sizes and hash are checked
 * before HDF5 sees a byte of the file. A hostile file can have a valid hash, so links, external
 * storage, virtual datasets, chunks and filters are refused.
 *
 * Snapshots into several images may be taken at once; one thread of the program reads. Nothing here
 * is collective: rank 0 writes; every rank may read. */
#pragma once

#include "core/base/arena.h"
#include "core/dtype.h"
#include "core/status.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CHECKPOINT_MAX_DIMS = 8, CHECKPOINT_NAME_BYTES = 32 };

/* f32, f64, i32, i64, u16, u8. A name must not contain '/'. */
typedef struct CheckpointTensor {
    const char *name;
    DType dtype;
    int n_dims;
    int64_t shape[CHECKPOINT_MAX_DIMS];
    const void *data; /* row-major, in host memory; NULL: its data are not stored (shards.h) */
} CheckpointTensor;

typedef enum CheckpointKind { CHECKPOINT_I64, CHECKPOINT_F64, CHECKPOINT_TEXT } CheckpointKind;

typedef struct CheckpointValue {
    const char *name;
    CheckpointKind kind;
    int64_t i64;
    double f64;
    const char *text;
} CheckpointValue;

typedef struct CheckpointContents {
    const CheckpointTensor *tensors;
    int64_t n_tensors;
    const CheckpointValue *values;
    int64_t n_values;
    /* Waits until the tensors' data have arrived; if it fails, so does the save. Threads call it,
     * some at once, and always with the same result. NULL: the data are there. */
    Status (*arrive)(void *self);
    void *self;
} CheckpointContents;

typedef struct CheckpointImage CheckpointImage;
typedef struct CheckpointFile CheckpointFile;

/* Formats "step_00000012.h5", the name of a checkpoint file in its directory. Parses it, and that
 * of a directory of shards, "step_00000012"; false if the name has another form. */
void checkpoint_name(int64_t step, char out[CHECKPOINT_NAME_BYTES]);
bool checkpoint_name_parse(const char *name, int64_t *step);

/* ---- saving ---------------------------------------------------------------------------------- */

/* An upper bound of the bytes of the image: the bytes of the tensors plus about 1 KiB per name.
 * Texts may grow by 64 KiB in total without a reallocation. Errors: STATUS_FAILURE (sizes
 * overflow). */
NODISCARD Status checkpoint_image_bytes(const CheckpointContents *contents, size_t *out);

/* Allocates a reusable image of up to `bytes` bytes; a snapshot enlarges it if necessary. */
NODISCARD Status checkpoint_image_create(size_t bytes, CheckpointImage **out);
void checkpoint_image_destroy(CheckpointImage **image);

/* Touches all pages of the memory, so that the first snapshot takes no longer than later ones. Call
 * it before any snapshot. */
void checkpoint_image_touch(CheckpointImage *image);

/* Copies everything into the image. Errors: STATUS_FAILURE (memory, a duplicate name, a
 * limit of file sizes below the image), STATUS_UNSUPPORTED (dtype). */
NODISCARD Status checkpoint_snapshot(CheckpointImage *image, const CheckpointContents *contents);

/* The same without copying the tensors' data, which may still be arriving: checkpoint_write waits
 * for them and copies them as it goes, and checkpoint_image_finish, on any thread, what is left of
 * them; nothing if they do not arrive. Until then they must not change. Values and texts are copied
 * at once. */
NODISCARD Status checkpoint_snapshot_begin(CheckpointImage *image,
                                           const CheckpointContents *contents);
void checkpoint_image_finish(const CheckpointImage *image);

/* The checkpoints to keep: the `newest` ones and that of step `best`; -1: none. in_memory: they are
 * snapshots (memory_snapshot.h), and a run may miss one. */
typedef struct CheckpointKeep {
    int newest;
    int64_t best;
    bool in_memory;
} CheckpointKeep;

/* Snapshot and checkpoint_write in one call with an image of its own: for a single checkpoint.
 * Errors: theirs. */
NODISCARD Status checkpoint_save(const CheckpointContents *contents, const char *dir, int64_t step,
                                 CheckpointKeep keep);

/* Writes the image as DIR/step_%08d.h5; it is durable when this returns. Then points the link
 * DIR/best.h5 at the checkpoint of step keep.best, and removes the oldest checkpoints up to this
 * step beyond `keep`, but never the new one, nor a file without a valid trailer of its step. Such a
 * file at the name of the new one is moved aside (replacement_set_aside). Removes temporary files
 * of dead writers. Uses no HDF5, so it may run on a different thread than the snapshot. Errors:
 * STATUS_FAILURE (disk full and so on); older checkpoints are then unchanged and no temporary file
 * remains. */
NODISCARD Status checkpoint_write(const CheckpointImage *image, const char *dir, int64_t step,
                                  CheckpointKeep keep);

/* The path of the checkpoint of a step: the directory DIR/step_%08d if it exists, else
 * DIR/step_%08d.h5. Errors: STATUS_FAILURE if it is too long. */
NODISCARD Status checkpoint_of_step(const char *dir, int64_t step, char path[PATH_MAX]);

/* Moves the checkpoints after step `last` aside (replacement_set_aside); *n = their number. Errors:
 * STATUS_FAILURE. */
NODISCARD Status checkpoints_set_aside(const char *dir, int64_t last, int64_t *n);

/* ---- loading --------------------------------------------------------------------------------- */

/* Whether `path` is a directory with the name or the manifest of a checkpoint of shards. */
bool checkpoint_is_sharded(const char *path);

/* Verifies the whole file, or the manifest and all shards of a directory (shards.h), then opens it.
 * Errors: STATUS_DATA, naming the file and the fault. */
NODISCARD Status checkpoint_open(const char *path, CheckpointFile **out);

/* Opens the newest good checkpoint of a directory. *out = NULL if there is no checkpoint or no
 * directory. *warnings names each damaged checkpoint that was skipped, one line each without a
 * final newline; "" if none; in the arena. Lists again if a run removes one meanwhile. Errors:
 * STATUS_DATA if there are checkpoints but none is good; the reason and its code if one that is
 * newer than all good ones cannot be read (permission, disk error, memory, open files). */
NODISCARD Status checkpoint_open_newest(const char *dir, Arena *arena, CheckpointFile **out,
                                        const char **warnings);

void checkpoint_close(CheckpointFile **file);

const char *checkpoint_path(const CheckpointFile *file);
int64_t checkpoint_step(const CheckpointFile *file);

/* Values by name. Errors: STATUS_DATA if the file has no value of this kind and name. */
NODISCARD Status checkpoint_read_i64(const CheckpointFile *file, const char *name, int64_t *out);
NODISCARD Status checkpoint_read_f64(const CheckpointFile *file, const char *name, double *out);
NODISCARD Status checkpoint_read_text(const CheckpointFile *file, const char *name, Arena *arena,
                                      char **out);

/* Whether the file has a tensor of this name. */
bool checkpoint_has_tensor(const CheckpointFile *file, const char *name);

/* The dtype and shape of tensor `name`; sets the data pointer to NULL. Errors: STATUS_DATA. */
NODISCARD Status checkpoint_tensor_info(const CheckpointFile *file, const char *name,
                                        CheckpointTensor *out);

/* The names of all tensors, in alphabetical order, in the arena. */
NODISCARD Status checkpoint_tensor_names(const CheckpointFile *file, Arena *arena,
                                         const char ***names, int64_t *n);

/* Reads tensor->name into `data`, which has the bytes of tensor->dtype and shape; both must equal
 * the file's. Errors: STATUS_DATA, naming file, tensor and both shapes. */
NODISCARD Status checkpoint_read_tensor(const CheckpointFile *file, const CheckpointTensor *tensor,
                                        void *data);
