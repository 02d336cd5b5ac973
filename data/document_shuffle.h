/* DocumentShuffle: puts documents in a random order that the seed determines, whatever their
 * number.
 *
 * A document has the key Philox(seed, its number). Its tokens go to one of 256 buckets by the first
 * byte of the key, all in one unnamed file; then the buckets are read one after another, and sorted
 * by key in memory. Memory: 64 MiB, and 4 bytes for each token of the largest bucket, about the
 * 256th part of all. Disk: 4 bytes for each token. Not collective. */
#pragma once

#include "data/token_buffer.h"

#include <stdint.h>

typedef struct DocumentShuffle DocumentShuffle;

/* Begins; the unnamed file is in `directory`. Errors: STATUS_OUT_OF_MEMORY; STATUS_FAILURE of the
 * disk.
 */
NODISCARD Status document_shuffle_create(const char *directory, uint64_t seed,
                                         DocumentShuffle **out);
void document_shuffle_destroy(DocumentShuffle **shuffle);

/* Begins the next document; `side`: any number that document_shuffle_drain passes on. */
void document_shuffle_begin(DocumentShuffle *shuffle, int side);

/* Adds tokens to the document. Errors: STATUS_OUT_OF_MEMORY; STATUS_FAILURE of the disk. */
NODISCARD Status document_shuffle_append(DocumentShuffle *shuffle, const TokenBuffer *tokens);

/* Receives documents in the new order, each in one part or more. */
typedef struct ShuffledSink {
    void *context;
    Status (*begin)(void *context, int side);
    Status (*tokens)(void *context, const TokenBuffer *tokens);
} ShuffledSink;

/* document_shuffle_drain: passes all documents. Call it once, at the end.
 *   Errors: STATUS_OUT_OF_MEMORY; STATUS_FAILURE of the disk; those of the sink. */
NODISCARD Status document_shuffle_drain(DocumentShuffle *shuffle, const ShuffledSink *sink);
