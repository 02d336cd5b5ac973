/* Reads HDF5 files. Every address, size and count in a file may be wrong: nothing outside the file
 * is read, and memory stays within a small multiple of its size. Not collective, any thread.
 *
 * Source: HDF5 file format 3.0. Addresses are those of the file, relative to its superblock. */
#pragma once

#include "core/base/arena.h"
#include "core/base/input_file.h"

#include <stdbool.h>

enum { HDF5_MOST_RANK = 32 };
#define HDF5_NOWHERE UINT64_MAX /* the address of what does not exist */

typedef struct Hdf5File {
    const InputFile *input; /* borrowed */
    uint64_t base;          /* offset of the superblock */
    uint64_t root;          /* address of the root group */
} Hdf5File;

/* hdf5_find: whether a file has a superblock, at 0, 512, 1024, 2048, ..., and where.
 *   Errors: those of input_read. */
NODISCARD Status hdf5_find(const InputFile *input, bool *is_there, uint64_t *base);

/* hdf5_open: reads the superblock. `input` stays open as long as the file is read.
 *   Errors: STATUS_DATA if it is no HDF5 file, damaged or truncated; those of input_read. */
NODISCARD Status hdf5_open(const InputFile *input, Hdf5File *out);

/* ---- objects --------------------------------------------------------------------------------- */

/* The header of an object: its messages, each with its type, flags and length before it. */
typedef struct Hdf5Object {
    uint8_t *bytes;
    size_t size;
} Hdf5Object;

/* hdf5_object_read:
 *   Errors, with nothing to free: STATUS_DATA for a header that is damaged or larger than 64 MiB;
 * those of input_read; STATUS_OUT_OF_MEMORY. */
NODISCARD Status hdf5_object_read(const Hdf5File *file, uint64_t address, Hdf5Object *out);
void hdf5_object_free(Hdf5Object *object);

bool hdf5_is_group(const Hdf5Object *object);
bool hdf5_is_dataset(const Hdf5Object *object);

/* ---- groups ---------------------------------------------------------------------------------- */

typedef struct Hdf5Link {
    const char *name;
    uint64_t address; /* HDF5_NOWHERE: a soft, external or other link */
} Hdf5Link;

typedef struct Hdf5Links {
    Hdf5Link *items; /* (count), by name */
    size_t count;
} Hdf5Links;

/* hdf5_links_read: the links of a group, in the arena.
 *   Errors: STATUS_DATA if it is no group, is damaged, or keeps its links in a heap (over 8 of
 *   them in the newer formats); those of input_read; STATUS_OUT_OF_MEMORY. */
NODISCARD Status hdf5_links_read(const Hdf5File *file, const Hdf5Object *group, Arena *arena,
                                 Hdf5Links *out);

/* The link of this name, or NULL. */
const Hdf5Link *hdf5_link_find(const Hdf5Links *links, const char *name);

/* ---- types and values ------------------------------------------------------------------------ */

typedef enum Hdf5Kind {
    HDF5_OTHER,
    HDF5_INTEGER, /* of 1, 2, 4 or 8 bytes, all of whose bits count */
    HDF5_REAL,    /* IEEE of 4 or 8 bytes, little-endian */
    HDF5_STRING   /* of a fixed length */
} Hdf5Kind;

typedef struct Hdf5Type {
    Hdf5Kind kind;
    size_t size;
    bool is_signed, is_big_endian; /* of an integer */
    bool is_utf8,
        is_padded; /* of a string: spaces or zeros fill it, instead of a zero that ends it */
} Hdf5Type;

typedef struct Hdf5Value {
    Hdf5Type type;
    const uint8_t *data; /* (type.size), borrowed from the object; NULL: not one value */
} Hdf5Value;

/* hdf5_attribute_find: false if the object has none of this name. Types that lie elsewhere count as
 * HDF5_OTHER.
 *   Errors: STATUS_DATA if an attribute is damaged, or if attributes are in a heap (over 8 of them
 *   in the newer formats). */
NODISCARD Status hdf5_attribute_find(const Hdf5File *file, const Hdf5Object *object,
                                     const char *name, Hdf5Value *out, bool *is_there);

/* The value of an integer, sign-extended. */
int64_t hdf5_integer(const Hdf5Value *value);

/* ---- datasets -------------------------------------------------------------------------------- */

typedef struct Hdf5Dataset {
    Hdf5Type type;
    bool is_null; /* a space without values */
    int rank;     /* 0: one value */
    uint64_t dims[HDF5_MOST_RANK];
    bool is_contiguous, is_filtered, is_external;
    uint64_t at;    /* byte of the file; HDF5_NOWHERE: never written */
    uint64_t bytes; /* there */
} Hdf5Dataset;

/* hdf5_dataset_describe: what an object's header says. Neither `at` and `bytes` nor the product of
 * `dims` is checked.
 *   Errors: STATUS_DATA if it is no dataset, damaged, or shares messages with other objects, such
 * as a committed datatype. */
NODISCARD Status hdf5_dataset_describe(const Hdf5File *file, const Hdf5Object *object,
                                       Hdf5Dataset *out);
