/* Object headers, of versions 1 and 2: IV.A.1. */
#include "core/hdf5/hdf5_parts.h"

#include <stdlib.h>
#include <string.h>

enum {
    MOST_BYTES = 1 << 26,   /* of all chunks of a header */
    LEAST_CHUNK_BYTES = 8,  /* of one that continues another */
    PREFIX_BYTES = 16,      /* of version 1 */
    PREFIX_MOST_BYTES = 34, /* of version 2 */
    SIGNATURE_BYTES = 4,
    CHECKSUM_BYTES = 4,
    STORED_BYTES = 5, /* before a message in an Hdf5Object: type, flags, length */
    IS_SHARED = 2,
};

typedef struct HeaderChunk {
    uint64_t address;
    size_t bytes;
} HeaderChunk;

/* The chunks of a header, of which `done` are read. */
typedef struct Header {
    const Hdf5File *file;
    bool is_version2, has_order;
    HeaderChunk *chunks; /* (capacity) */
    size_t n_chunks, capacity, done;
    uint64_t bytes; /* of all chunks */
    Hdf5Object *out;
    size_t room; /* of out->bytes */
} Header;

/* ---- the messages of an object --------------------------------------------------------------- */

bool message_next(const Hdf5Object *object, size_t *at, Message *out) {
    if (*at >= object->size) return false;
    const uint8_t *head = object->bytes + *at;
    *out = (Message){.type = (int)number_at(head, 2),
                     .is_shared = (head[2] & IS_SHARED) != 0,
                     .body = {head + STORED_BYTES, (size_t)number_at(head + 3, 2)}};
    *at += STORED_BYTES + out->body.size;
    return true;
}

bool message_find(const Hdf5Object *object, MessageType type, Message *out) {
    size_t at = 0;
    while (message_next(object, &at, out)) {
        if (out->type == (int)type) return true;
    }
    return false;
}

bool info_has_heap(ByteRange info, int width) {
    size_t at = info.size > 1 && (info.at[1] & 1) != 0 ? 2 + (size_t)width : 2;
    return info.size < at + 8 || number_at(info.at + at, 8) != HDF5_NOWHERE;
}

bool hdf5_is_group(const Hdf5Object *object) {
    Message ignored;
    return message_find(object, MESSAGE_SYMBOL_TABLE, &ignored) ||
           message_find(object, MESSAGE_LINK_INFO, &ignored);
}

bool hdf5_is_dataset(const Hdf5Object *object) {
    Message ignored;
    return message_find(object, MESSAGE_DATATYPE, &ignored) &&
           message_find(object, MESSAGE_DATASPACE, &ignored);
}

void hdf5_object_free(Hdf5Object *object) {
    free(object->bytes);
    *object = (Hdf5Object){0};
}

/* ---- chunks ---------------------------------------------------------------------------------- */

/* `items` with room for `count` at least, or NULL, with the items as they were. The room doubles,
 * so that many small chunks are not copied often. */
static void *grown(void *items, size_t *capacity, size_t count, size_t size) {
    if (count <= *capacity) return items;
    size_t more = count < 2 * *capacity ? 2 * *capacity : count;
    void *found = realloc(items, more * size);
    if (found != NULL) *capacity = more;
    return found;
}

static Status out_of_memory(const Header *h) {
    return OUT_OF_MEMORY("a header of %s", h->file->input->path);
}

/* Chunks do not overlap in a sound file. */
static Status chunk_add(Header *h, uint64_t address, uint64_t bytes) {
    uint64_t most = h->file->input->bytes < MOST_BYTES ? h->file->input->bytes : MOST_BYTES;
    if (bytes > most - h->bytes) return hdf5_damaged(h->file);
    h->bytes += bytes;
    HeaderChunk *chunks = grown(h->chunks, &h->capacity, h->n_chunks + 1, sizeof *chunks);
    if (chunks == NULL) return out_of_memory(h);
    h->chunks = chunks;
    h->chunks[h->n_chunks++] = (HeaderChunk){address, (size_t)bytes};
    return OK;
}

/* Version 2 puts a signature before a continuation, and a checksum behind it. */
static Status continuation_add(Header *h, ByteRange message) {
    uint64_t before = h->is_version2 ? SIGNATURE_BYTES : 0, at;
    uint64_t around = h->is_version2 ? SIGNATURE_BYTES + CHECKSUM_BYTES : 0;
    if (message.size < 16) return hdf5_damaged(h->file);
    uint64_t bytes = number_at(message.at + 8, 8);
    bool fits = bytes >= around + LEAST_CHUNK_BYTES &&
                !__builtin_add_overflow(number_at(message.at, 8), before, &at);
    return fits ? chunk_add(h, at, bytes - around) : hdf5_damaged(h->file);
}

/* The object has room for it. */
static void message_store(Hdf5Object *object, int type, int flags, ByteRange message) {
    const uint8_t head[STORED_BYTES] = {(uint8_t)type, (uint8_t)(type >> 8), (uint8_t)flags,
                                        (uint8_t)message.size, (uint8_t)(message.size >> 8)};
    memcpy(object->bytes + object->size, head, sizeof head);
    memcpy(object->bytes + object->size + sizeof head, message.at, message.size);
    object->size += sizeof head + message.size;
}

/* What is left at the end is too short for a message. */
static Status chunk_split(Header *h, ByteRange chunk) {
    size_t head_bytes = !h->is_version2 ? 8 : h->has_order ? 6 : 4;
    int width = h->is_version2 ? 1 : 2;
    ByteRange head, message;
    while (bytes_take(&chunk, head_bytes, &head)) {
        int type = (int)number_at(head.at, width);
        if (!bytes_take(&chunk, number_at(head.at + width, 2), &message))
            return hdf5_damaged(h->file);
        if (type == MESSAGE_CONTINUATION)
            TRY(continuation_add(h, message));
        else
            message_store(h->out, type, head.at[width + 2], message);
    }
    return OK;
}

/* A head takes 4 bytes at least in the file, and STORED_BYTES here. */
static Status chunk_read(Header *h, HeaderChunk chunk) {
    size_t room = h->out->size + 2 * chunk.bytes + STORED_BYTES;
    uint8_t *bytes = malloc(chunk.bytes + 1), *object = grown(h->out->bytes, &h->room, room, 1);
    if (object != NULL) h->out->bytes = object;
    Status status = bytes != NULL && object != NULL
                        ? place_read(h->file, chunk.address, bytes, chunk.bytes)
                        : out_of_memory(h);
    if (!failed(status)) status = chunk_split(h, (ByteRange){bytes, chunk.bytes});
    free(bytes);
    return status;
}

/* Adds the first chunk. */
static Status prefix_read(Header *h, uint64_t address) {
    uint8_t prefix[PREFIX_MOST_BYTES] = {0};
    TRY(place_read(h->file, address, prefix, PREFIX_BYTES));
    h->is_version2 = memcmp(prefix, "OHDR\2", 5) == 0;
    if (!h->is_version2)
        return prefix[0] == 1 ? chunk_add(h, address + PREFIX_BYTES, number_at(prefix + 8, 4))
                              : hdf5_damaged(h->file);
    int flags = prefix[5], width = 1 << (flags & 3);
    size_t before = 6 + (flags & 0x20 ? 16U : 0U) + (flags & 0x10 ? 4U : 0U);
    h->has_order = (flags & 4) != 0;
    TRY(place_read(h->file, address, prefix, before + (size_t)width));
    return chunk_add(h, address + before + (uint64_t)width, number_at(prefix + before, width));
}

Status hdf5_object_read(const Hdf5File *file, uint64_t address, Hdf5Object *out) {
    Header header = {.file = file, .out = out};
    *out = (Hdf5Object){0};
    Status status = prefix_read(&header, address);
    while (!failed(status) && header.done < header.n_chunks)
        status = chunk_read(&header, header.chunks[header.done++]);
    free(header.chunks);
    if (failed(status)) hdf5_object_free(out);
    return status;
}
