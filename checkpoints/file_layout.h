/* The layout of a checkpoint file and of a directory of checkpoints: trailer, steps, HDF5 types.
 * Private to checkpoints/. */
#pragma once

#include "checkpoints/checkpoint.h"

#include <hdf5.h>

enum { TRAILER_BYTES = 56 };

struct CheckpointImage {
    unsigned char *bytes;
    size_t capacity;
    size_t size;    /* of the HDF5 image; 0: there is no snapshot */
    size_t *places; /* (n_places), offsets of the tensors' data */
    int64_t n_places;
};

typedef struct Trailer {
    uint64_t image_bytes;
    int64_t step;
    unsigned char hash[16];
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
void hash_end(ImageHash *hash, unsigned char out[16]);

/* The steps of the checkpoints in a directory, newest first; n = 0 if there is no directory. The
 * caller frees *steps. Errors: STATUS_FAILURE if the directory cannot be listed completely. */
NODISCARD Status steps_list(const char *dir, int64_t **steps, int64_t *n);

/* The HDF5 type in memory, and in the file (little-endian). -1 for a dtype that checkpoints do not
 * support. */
hid_t dtype_memory_type(DType dtype);
hid_t dtype_file_type(DType dtype);

/* Silences HDF5's messages on this thread and disables its exit handler, which would crash on
 * unflushed data after a failed close. Code in this folder closes every object that it opens. */
void hdf5_begin(void);

/* The innermost reason of HDF5's last failure. */
const char *hdf5_reason(void);

/* Creates a contiguous dataset without fill values, allocated at once. -1 on failure. */
hid_t hdf5_dataset_create(hid_t place, const char *name, hid_t type, hid_t space);

/* Writes a number as an attribute, a text as a dataset. Errors: STATUS_FAILURE. */
NODISCARD Status hdf5_number_write(hid_t file, const CheckpointValue *value);
NODISCARD Status hdf5_text_write(hid_t group, const CheckpointValue *value);
