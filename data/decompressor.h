/* Decompressor: a stream of compressed bytes that becomes plain bytes in steps. A file may hold
 * several compressed streams one after another, as `cat a.gz b.gz` makes it. Not collective. */
#pragma once

#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Decompressor Decompressor;

/* The functions of a compressed format. */
typedef struct Codec {
    const char *name;
    const uint8_t *magic; /* the first bytes of each stream */
    size_t magic_bytes;

    /* Errors: STATUS_OUT_OF_MEMORY; STATUS_DATA if this build cannot read the format. */
    Status (*create)(Decompressor **out);

    /* Decompresses as much as fits: *used of the n input bytes give *made output bytes, both at
     * most as many as given. *ended: a stream is complete, and further input begins another.
     *   Errors: STATUS_DATA for damaged input, without the name of the file. */
    Status (*run)(Decompressor *decompressor, const uint8_t *in, size_t n, size_t *used,
                  uint8_t *out, size_t capacity, size_t *made, bool *ended);
    void (*destroy)(Decompressor *decompressor);
} Codec;

extern const Codec gzip_codec, zstd_codec;
