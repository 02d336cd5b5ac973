/* The layout of a checkpoint file and of a directory of checkpoints: trailer, steps, HDF5 types.
 * Private to checkpoints/. */
#pragma once

#include "checkpoints/checkpoint.h"
#include "core/hdf5/hdf5_file.h"

#include <hdf5.h>
#include <limits.h>
#include <stdatomic.h>

enum { TRAILER_BYTES = 56, HASH_BYTES = 16 };

typedef struct ImagePiece ImagePiece; /* image_copy.c */

struct CheckpointImage {
    unsigned char *bytes;
    size_t capacity;
    size_t size;    /* of the HDF5 image; 0: there is no snapshot */
    size_t *places; /* (n_tensors), offsets of the tensors' data; n_places are allocated */
    int64_t n_tensors, n_places;
    ImagePiece *pieces; /* (n_pieces), in the order of the file */
    int64_t n_pieces, piece_capacity;
    Status (*arrive)(void *self); /* of the contents */
    void *self;
};

/* With shards, all but the shards is of the manifest. */
struct CheckpointFile {
    InputFile input;
    Hdf5File hdf5;
    Hdf5Object root;
    Hdf5Links tensors, texts; /* of the root group, and of its group "text" */
    Arena arena;              /* of the links */
    int64_t step;
    unsigned char hash[HASH_BYTES];
    char *path;
    CheckpointFile **shards; /* (n_shards) */
    int n_shards;            /* 0: a single file */
};

/* A checkpoint in a directory: the file step_%08d.h5, or the directory step_%08d of shards. */
typedef struct SavedStep {
    int64_t step;
    bool is_sharded;
} SavedStep;

typedef struct Trailer {
    uint64_t image_bytes;
    int64_t step;
    unsigned char hash[HASH_BYTES];
} Trailer;

void trailer_encode(const Trailer *trailer, unsigned char out[TRAILER_BYTES]);
bool trailer_decode(const unsigned char bytes[TRAILER_BYTES], Trailer *out);

/* Reads the trailer of an open file and checks it against the file's size. Errors: STATUS_DATA if
 * the file is invalid, STATUS_FAILURE if it cannot be read. */
NODISCARD Status trailer_read(int fd, const char *path, Trailer *out);

/* Reads the whole file and checks its hash. Errors: as trailer_read; STATUS_DATA if it does not
 * exist. */
NODISCARD Status trailer_verify(const char *path, Trailer *out);

/* The hash of an image, piece by piece. hash_begin returns NULL if memory is out; hash_end writes
 * the canonical form and frees the state. */
typedef struct XXH3_state_s ImageHash;
ImageHash *hash_begin(void);
void hash_add(ImageHash *hash, const void *data, size_t bytes);
void hash_end(ImageHash *hash, unsigned char out[HASH_BYTES]);

/* Lists the pieces of the tensors' data, none of them copied yet. Errors: STATUS_OUT_OF_MEMORY. */
NODISCARD Status image_list_pieces(CheckpointImage *image, const CheckpointContents *contents);

/* Reads all that is not in a piece from a file of `size` bytes. Errors: STATUS_FAILURE. */
NODISCARD Status image_read_gaps(const CheckpointImage *image, int fd, size_t size);

/* Waits until the tensors' data have arrived; before any of them is copied. */
NODISCARD Status image_arrive(const CheckpointImage *image);

/* Copies the pieces from *next on that start before byte `end`, unless they are copied already, and
 * advances *next. */
void image_copy_until(const CheckpointImage *image, size_t end, int64_t *next);

/* Copies all pieces that are not copied or claimed by another thread; none if the data do not
 * arrive. */
void image_copy(const CheckpointImage *image);

/* Writes the image to `path`, which is durable when this returns. Something else than this
 * checkpoint at `path` belongs to someone else or is damaged, and is moved aside. Errors: as
 * checkpoint_write. */
NODISCARD Status image_write(const CheckpointImage *image, const char *path, int64_t step,
                             CheckpointKeep keep);

/* The same to a `path` that must not exist. Errors: STATUS_DATA if it does. */
NODISCARD Status image_write_new(const CheckpointImage *image, const char *path, int64_t step);

/* ---- a directory of checkpoints -------------------------------------------------------------- */

/* Formats "step_00000012.h5" or "step_00000012", and parses it; false if the name has another
 * form. */
void step_name(SavedStep saved, char out[CHECKPOINT_NAME_BYTES]);
bool step_parse(const char *name, SavedStep *out);

/* DIR/NAME. Errors: STATUS_FAILURE if it is too long. */
NODISCARD Status step_path(const char *dir, SavedStep saved, char path[PATH_MAX]);

/* The checkpoints in a directory by their names, newest first; n = 0 if there is no directory. The
 * caller frees *steps. Errors: STATUS_FAILURE if the directory cannot be listed completely. */
NODISCARD Status steps_list(const char *dir, SavedStep **steps, int64_t *n);

/* Whether this project wrote it: a file that ends with a valid trailer of this step, or a directory
 * with such a manifest and no foreign files. */
bool step_is_ours(const char *path, SavedStep saved);

/* After a save: renews DIR/best.h5, and removes what exceeds `keep` (checkpoint_write). */
NODISCARD Status steps_prune(const char *dir, SavedStep newest, CheckpointKeep keep);

/* ---- shards (shards.h) ----------------------------------------------------------------------- */

#define MANIFEST_NAME "manifest.h5"
#define MANIFEST_SHARDS "shards" /* the tensor of the hashes */
enum { CHECKPOINT_MAX_SHARDS = 1 << 20 };

/* Formats "shard_00003.h5", and parses it. */
void shard_name(int index, char out[CHECKPOINT_NAME_BYTES]);
bool shard_name_parse(const char *name, int *index);

/* Removes the temporary files and directories that dead saves left in a directory. A failed removal
 * is tried again next time. */
void dead_saves_remove(const char *dir);

/* DIR/.step_00000012.ID.hourglass/NAME: a file of a checkpoint that is being written or removed;
 * the directory itself if `name` is "". */
NODISCARD Status shards_temporary(const char *dir, int64_t step, uint64_t id, const char *name,
                                  char path[PATH_MAX]);

/* ---- HDF5 ------------------------------------------------------------------------------------ */

/* The HDF5 type in the file (little-endian). -1 for a dtype that checkpoints do not support. */
hid_t dtype_file_type(DType dtype);

/* Silences HDF5's messages on this thread and disables its exit handler, which would crash on
 * unflushed data after a failed close. Code in this folder closes every object that it opens. */
void hdf5_begin(void);

/* The innermost reason of HDF5's last failure. */
const char *hdf5_reason(void);

/* Creates a contiguous dataset without fill values; `is_stored`: allocated at once. -1 on
 * failure. */
hid_t hdf5_dataset_create(hid_t place, const char *name, hid_t type, hid_t space, bool is_stored);

/* Writes a number as an attribute, a text as a dataset. Errors: STATUS_FAILURE. */
NODISCARD Status hdf5_number_write(hid_t file, const CheckpointValue *value);
NODISCARD Status hdf5_text_write(hid_t group, const CheckpointValue *value);
