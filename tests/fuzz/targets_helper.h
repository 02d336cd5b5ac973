/* Fuzz targets: the readers of untrusted files, each a function of some bytes. A reader may refuse
 * the bytes; a crash, a finding of a sanitizer or a wrong result is a failure.
 *
 * Hashes in the bytes are corrected first, since a hostile file can have a valid one. */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct FuzzTarget {
    const char *name; /* also that of its folder in tests/fuzz/corpus */
    void (*run)(const uint8_t *data, size_t size);
} FuzzTarget;

/* Ends with a NULL name. */
extern const FuzzTarget fuzz_targets[];
