/* The parts of HDF5's structures. Private to core/hdf5/. */
#pragma once

#include "core/hdf5/hdf5_file.h"

typedef struct ByteRange {
    const uint8_t *at;
    size_t size;
} ByteRange;

/* Types of messages: IV.A.2. */
typedef enum MessageType {
    MESSAGE_DATASPACE = 0x01,
    MESSAGE_LINK_INFO = 0x02,
    MESSAGE_DATATYPE = 0x03,
    MESSAGE_LINK = 0x06,
    MESSAGE_EXTERNAL = 0x07,
    MESSAGE_LAYOUT = 0x08,
    MESSAGE_FILTERS = 0x0b,
    MESSAGE_ATTRIBUTE = 0x0c,
    MESSAGE_CONTINUATION = 0x10,
    MESSAGE_SYMBOL_TABLE = 0x11,
    MESSAGE_ATTRIBUTE_INFO = 0x15
} MessageType;

typedef struct Message {
    int type;
    bool is_shared; /* the body only tells where it lies */
    ByteRange body;
} Message;

typedef struct Space {
    bool is_null;
    int rank;
    uint64_t dims[HDF5_MOST_RANK];
} Space;

/* A little-endian number of `width` bytes. */
uint64_t number_at(const uint8_t *at, int width);

/* Takes the first n bytes of `from`; false if there are fewer. */
bool bytes_take(ByteRange *from, uint64_t n, ByteRange *out);

/* The next message after *at bytes; false at the end. */
bool message_next(const Hdf5Object *object, size_t *at, Message *out);

/* The first message of a type; false if there is none. */
bool message_find(const Hdf5Object *object, MessageType type, Message *out);

/* Whether a Link Info or Attribute Info message names a heap. `width`: of its optional index. */
bool info_has_heap(ByteRange info, int width);

NODISCARD Status hdf5_damaged(const Hdf5File *file);

/* Reads from an address. Errors: STATUS_DATA beyond the end of the file; those of input_read. */
NODISCARD Status place_read(const Hdf5File *file, uint64_t address, void *out, size_t bytes);

/* False for a message that is damaged. */
bool type_parse(ByteRange message, Hdf5Type *out);
bool space_parse(ByteRange message, Space *out);
