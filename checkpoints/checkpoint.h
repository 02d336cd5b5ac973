/* Checkpoints: named tensors and values in an HDF5 file that is complete or not there.
 *
 * The file is an HDF5 image (read it with h5dump or h5py) followed by a trailer of 56 bytes,
 * little-endian:
 *    0  "HGCKPT\r\n"     8  version 1, u64      16  bytes of the image, u64      24  step, i64
 *   32  XXH3-128 of the image, canonical       48  XXH3-64 of the 48 bytes before
 * In the image: tensors are contiguous datasets by their names; numbers are attributes of the root
 * group; texts are scalar string datasets in the group "text".
 *
 * Saving: a snapshot copies all into an image in memory (this is all that training waits for), then
 * the image is written to a temporary file in the same directory, synced, and renamed. HDF5 itself
 * never writes a file: where the disk is full it crashes. Loading: sizes and hash first, before
 * HDF5 sees a byte of the file. Whoever can compute a hash can still hand HDF5 a hostile file, so
 * links, external storage, virtual datasets, chunks and filters are refused.
 *
 * Not thread-safe where HDF5 is involved (snapshot, open, read, close): one thread of the program
 * uses HDF5. Nothing here is collective: rank 0 writes; every rank may read. */
#pragma once

#include "core/base/arena.h"
#include "core/dtype.h"
#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CHECKPOINT_MAX_DIMS = 8 };

/* f32, f64, i32, i64, u16, u8. Names hold no '/'. */
typedef struct CheckpointTensor {
    const char *name;
    DType dtype;
    int n_dims;
    int64_t shape[CHECKPOINT_MAX_DIMS];
    const void *data; /* row-major, in the host's memory */
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
} CheckpointContents;

typedef struct CheckpointImage CheckpointImage;
typedef struct CheckpointFile CheckpointFile;

/* ---- saving ---------------------------------------------------------------------------------- */

/* An upper bound of the bytes of the image and its trailer, for the planner: the tensors' bytes
 * plus about 1 KiB for each name. Texts may grow by 64 KiB in all without a reallocation. Errors:
 * STATUS_FAILURE (sizes overflow). */
NODISCARD Status checkpoint_image_bytes(const CheckpointContents *contents, size_t *out);

/* Memory for images of up to `bytes` bytes, used again and again; it grows where a snapshot needs
 * more. */
NODISCARD Status checkpoint_image_create(size_t bytes, CheckpointImage **out);
void checkpoint_image_destroy(CheckpointImage **image);

/* Writes to all of the memory once, so that the first snapshot stalls no longer than the others.
 * Before any snapshot. */
void checkpoint_image_touch(CheckpointImage *image);

/* Copies everything into the image. Errors: STATUS_FAILURE (memory, a name twice),
 * STATUS_UNSUPPORTED (dtype). */
NODISCARD Status checkpoint_snapshot(CheckpointImage *image, const CheckpointContents *contents);

/* Which checkpoints stay: the `newest` ones, and beside them that of step `best`; -1: none. */
typedef struct CheckpointKeep {
    int newest;
    int64_t best;
} CheckpointKeep;

/* Writes the image as DIR/step_%08d.h5, durable when this returns; then removes the oldest of our
 * checkpoints up to this step beyond `keep`, never the one just written, nor a file that lacks a
 * whole trailer of that step. Such a file at the new one's name is moved aside
 * (replacement_set_aside). Removes temporaries whose writer is dead. Uses no HDF5, so it may run on
 * another thread than the snapshot. Errors: STATUS_FAILURE (disk full and so on); the older
 * checkpoints are then untouched and no temporary is left. */
NODISCARD Status checkpoint_write(CheckpointImage *image, const char *dir, int64_t step,
                                  CheckpointKeep keep);

/* Moves the checkpoints after step `last` aside (replacement_set_aside). *n: how many. Errors:
 * STATUS_FAILURE. */
NODISCARD Status checkpoints_set_aside(const char *dir, int64_t last, int64_t *n);

/* ---- loading --------------------------------------------------------------------------------- */

/* Verifies the whole file, then opens it. Errors: STATUS_DATA, naming the file and what is wrong
 * with it. */
NODISCARD Status checkpoint_open(const char *path, CheckpointFile **out);

/* Opens the newest good checkpoint of a directory. *out = NULL where there is none, nor a
 * directory. Each bad one that was passed over is named in *warnings, one line each without a
 * newline at the end, "" for none; in the arena. Errors: STATUS_DATA where there are checkpoints
 * and none of them is good; where one that is newer than all good ones cannot be read (permission,
 * a disk's error, memory, open files), the reason and its code. */
NODISCARD Status checkpoint_open_newest(const char *dir, Arena *arena, CheckpointFile **out,
                                        const char **warnings);

void checkpoint_close(CheckpointFile **file);

const char *checkpoint_path(const CheckpointFile *file);
int64_t checkpoint_step(const CheckpointFile *file);

/* Values by name. Errors: STATUS_DATA where the file has no such value of this kind. */
NODISCARD Status checkpoint_read_i64(const CheckpointFile *file, const char *name, int64_t *out);
NODISCARD Status checkpoint_read_f64(const CheckpointFile *file, const char *name, double *out);
NODISCARD Status checkpoint_read_text(const CheckpointFile *file, const char *name, Arena *arena,
                                      char **out);

/* True where the file holds a tensor of this name. */
bool checkpoint_has_tensor(const CheckpointFile *file, const char *name);

/* Dtype and shape of the tensor `name`; the data pointer is left NULL. Errors: STATUS_DATA. */
NODISCARD Status checkpoint_tensor_info(const CheckpointFile *file, const char *name,
                                        CheckpointTensor *out);

/* The names of all tensors, in alphabetical order, in the arena. */
NODISCARD Status checkpoint_tensor_names(const CheckpointFile *file, Arena *arena,
                                         const char ***names, int64_t *n);

/* Reads tensor->name into `data`, which has the bytes of tensor->dtype and shape; both must be the
 * file's. Errors: STATUS_DATA, naming file, tensor and both shapes. */
NODISCARD Status checkpoint_read_tensor(const CheckpointFile *file, const CheckpointTensor *tensor,
                                        void *data);
