#include "core/hdf5/hdf5_parts.h"

#include <string.h>

static const uint8_t signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};

enum { SUPERBLOCK_BYTES = 96, WIDTH = 8, IS_OPEN = 1 | 4 /* for writing */ };

uint64_t number_at(const uint8_t *at, int width) {
    uint64_t value = 0;
    for (int i = width - 1; i >= 0; i--) value = value << 8 | at[i];
    return value;
}

bool bytes_take(ByteRange *from, uint64_t n, ByteRange *out) {
    if (n > from->size) return false;
    *out = (ByteRange){from->at, (size_t)n};
    *from = (ByteRange){from->at + n, from->size - (size_t)n};
    return true;
}

Status hdf5_damaged(const Hdf5File *file) {
    return ERROR(STATUS_DATA,
                 "%s: is damaged or truncated, or HDF5 of a kind that is not read; write it again",
                 file->input->path);
}

Status place_read(const Hdf5File *file, uint64_t address, void *out, size_t bytes) {
    uint64_t at;
    bool fits = !__builtin_add_overflow(file->base, address, &at) && bytes <= file->input->bytes &&
                at <= file->input->bytes - bytes;
    return fits ? input_read(file->input, out, bytes, at) : hdf5_damaged(file);
}

Status hdf5_find(const InputFile *input, bool *is_there, uint64_t *base) {
    uint8_t found[sizeof signature];
    *is_there = false;
    for (uint64_t at = 0; at + sizeof found <= input->bytes; at = at == 0 ? 512 : 2 * at) {
        *base = at;
        TRY(input_read(input, found, sizeof found, at));
        *is_there = memcmp(found, signature, sizeof found) == 0;
        if (*is_there) return OK;
    }
    return OK;
}

/* Versions 0 and 1 end with the entry of the root group in a symbol table: II.A. */
static Status superblock_parse(Hdf5File *file, const uint8_t bytes[SUPERBLOCK_BYTES]) {
    int version = bytes[8];
    bool is_old = version <= 1;
    const uint8_t *widths = bytes + (is_old ? 13 : 9);
    const uint8_t *end = bytes + (version == 0 ? 40 : version == 1 ? 44 : 28);
    const uint8_t *root = bytes + (version == 0 ? 64 : version == 1 ? 68 : 36);
    bool is_known = version <= 3 && widths[0] == WIDTH && widths[1] == WIDTH;
    if (!is_known || number_at(end, WIDTH) > file->input->bytes) return hdf5_damaged(file);
    if (version == 3 && (bytes[11] & IS_OPEN) != 0)
        return ERROR(STATUS_DATA,
                     "%s: the program that writes it has not closed it; close or copy "
                     "it there",
                     file->input->path);
    file->root = number_at(root, WIDTH);
    return OK;
}

Status hdf5_open(const InputFile *input, Hdf5File *out) {
    uint8_t superblock[SUPERBLOCK_BYTES] = {0};
    bool is_there;
    *out = (Hdf5File){.input = input};
    TRY(hdf5_find(input, &is_there, &out->base));
    if (!is_there) return hdf5_damaged(out);
    uint64_t left = input->bytes - out->base;
    TRY(place_read(out, 0, superblock,
                   left < sizeof superblock ? (size_t)left : sizeof superblock));
    return superblock_parse(out, superblock);
}
