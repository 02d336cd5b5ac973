/* Our HDF5 token file, and any other that holds a plain 1-D dataset `tokens`.
 *
 *   user block of 512 bytes   "hourglass tokens 1\n", then the sizes and the hash of the header
 *   header                    HDF5's own structures and the attributes
 *   tokens                    contiguous, to the end of the file
 *
 * HDF5 never writes to the disk: the header is made in memory, and the tokens are written before it
 * by plain writes, so that a full disk is an error of ours and not a crash inside the library. And
 * HDF5 is not given a damaged header of ours to read: the hash in the user block is checked first.
 * Files of other writers lack the block; for them HDF5's own checks have to do. */
#pragma once

#include "core/base/input_file.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct TokenHeader {
    char tokenizer[256]; /* "" where the file does not say */
    uint64_t tokenizer_hash;
    int64_t vocab_size;  /* 0 where the file does not say */
    int64_t end_of_text; /* -1 where the file does not say */
    int64_t count;
    int width;     /* bytes a token: 2 or 4 */
    size_t offset; /* of the first token in the file */
} TokenHeader;

/* True where these first bytes are those of an HDF5 file, with our user block or without one. */
bool hdf5_tokens_is(const uint8_t *bytes, size_t size);

/* hdf5_tokens_read: the header of an open file. Of foreign types only those are read that equal
 * HDF5's standard ones.
 *   Errors: STATUS_DATA, those of input_read. Not collective, one thread at a time. */
NODISCARD Status hdf5_tokens_read(const InputFile *file, TokenHeader *out);

/* hdf5_tokens_build: the bytes that come before the tokens. Reads all of header but `offset`, which
 * it sets; the offset does not depend on the count, so that the tokens can be written before their
 * number is known. free() *out.
 *   Errors: STATUS_FAILURE. Not collective, one thread at a time. */
NODISCARD Status hdf5_tokens_build(TokenHeader *header, uint8_t **out);
