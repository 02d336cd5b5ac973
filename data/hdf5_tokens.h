/* HDF5 token files: those that this project writes, and any other with a plain 1-D dataset
 * `tokens`.
 *
 *   user block of 512 bytes   "hourglass tokens 1\n", then the sizes and the hash of the header
 *   header                    HDF5's structures and the attributes
 *   tokens                    contiguous, to the end of the file
 *
 * HDF5 never writes to the disk. The header is built in memory and the tokens are written by plain
 * writes, so a full disk gives an error instead of a crash inside the library. Files are read by
 * core/hdf5/, and damage to a header of this format is found before by the hash in the user block.
 * Files of other writers have no such block. */
#pragma once

#include "core/base/input_file.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct TokenHeader {
    char tokenizer[1024]; /* "": that of a convention (tokenizer.h) */
    uint64_t tokenizer_hash;
    int64_t vocab_size;  /* 0 if unknown */
    int64_t end_of_text; /* -1 if unknown */
    int64_t count;
    int width;     /* bytes per token: 2 or 4 */
    size_t offset; /* of the first token in the file */
} TokenHeader;

/* Whether it is an HDF5 file, with or without the user block. Errors: those of input_read. */
NODISCARD Status hdf5_tokens_are(const InputFile *file, bool *are);

/* hdf5_tokens_read: reads the header of an open file. Accepts only standard types.
 *   Errors: STATUS_DATA; those of input_read. Not collective, one thread at a time. */
NODISCARD Status hdf5_tokens_read(const InputFile *file, TokenHeader *out);

/* hdf5_tokens_build: builds the bytes that precede the tokens. Sets header->offset and reads all
 * other fields. The offset does not depend on the count, so the tokens can be written before their
 * number is known. The caller frees *out.
 *   Errors: STATUS_FAILURE. Not collective, one thread at a time. */
NODISCARD Status hdf5_tokens_build(TokenHeader *header, uint8_t **out);
