/* What the files of checkpoints/ share among themselves. */
#pragma once

#include "checkpoints/checkpoint.h"

#include <hdf5.h>

enum { TRAILER_BYTES = 56, STEP_NAME_BYTES = 32 };

struct CheckpointImage {
    unsigned char *bytes;
    size_t capacity;
    size_t size; /* of the HDF5 image; the trailer follows */
};

typedef struct Trailer {
    uint64_t image_bytes;
    int64_t step;
    unsigned char hash[16];
} Trailer;

void trailer_encode(const Trailer *trailer, unsigned char out[TRAILER_BYTES]);
bool trailer_decode(const unsigned char bytes[TRAILER_BYTES], Trailer *out);

/* Reads the trailer at the end of an open file and checks it against the file's size. Errors:
 * STATUS_DATA where the file is wrong, STATUS_FAILURE where it cannot be read. */
NODISCARD Status trailer_read(int fd, const char *path, Trailer *out);

/* Reads the whole file and checks its hash. Errors: as trailer_read; STATUS_DATA also where it is
 * not there. */
NODISCARD Status trailer_verify(const char *path, Trailer *out);

void hash_canonical(const void *data, size_t bytes, unsigned char out[16]);

/* "step_00000012.h5", and back; false where the name is none of ours. */
void step_name(int64_t step, char out[STEP_NAME_BYTES]);
bool step_parse(const char *name, int64_t *step);

/* The steps of the checkpoints in a directory, newest first; none where it is not there. *steps is
 * the caller's to free. Errors: STATUS_FAILURE where it cannot be listed to its end. */
NODISCARD Status steps_list(const char *dir, int64_t **steps, int64_t *n);

/* HDF5's types: in memory, and in the file (little-endian). -1 for a dtype that checkpoints do not
 * hold. */
hid_t dtype_memory_type(DType dtype);
hid_t dtype_file_type(DType dtype);

/* Silences HDF5's own printing on this thread. Where a close failed, HDF5 crashes at the program's
 * end, when it tries to flush what is left: so it does nothing then. All that is opened here is
 * closed here. */
void hdf5_begin(void);

/* HDF5's innermost reason for its last failure. */
const char *hdf5_reason(void);
