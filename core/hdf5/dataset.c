/* Datatypes, dataspaces, the layout of datasets, and attributes: IV.A.2. */
#include "core/hdf5/hdf5_parts.h"

#include "core/base/checked.h"

#include <string.h>

/* ---- types ----------------------------------------------------------------------------------- */

static bool is_whole_integer(ByteRange type, size_t size) {
    return (size == 1 || size == 2 || size == 4 || size == 8) && type.size >= 12 &&
           (type.at[1] & ~9) == 0 && type.at[2] == 0 && type.at[3] == 0 &&
           number_at(type.at + 8, 2) == 0 && number_at(type.at + 10, 2) == 8 * size;
}

/* Compares all but the version and the class: the place of the sign, size, offset, precision, then
 * place and size of exponent and mantissa, and the bias. */
static bool is_ieee(ByteRange type) {
    static const uint8_t known[2][19] = {
        {0x20, 31, 0, 4, 0, 0, 0, 0, 0, 32, 0, 23, 8, 0, 23, 127, 0, 0, 0},
        {0x20, 63, 0, 8, 0, 0, 0, 0, 0, 64, 0, 52, 11, 0, 52, 255, 3, 0, 0},
    };
    return type.size > sizeof known[0] && (memcmp(type.at + 1, known[0], sizeof known[0]) == 0 ||
                                           memcmp(type.at + 1, known[1], sizeof known[1]) == 0);
}

bool type_parse(ByteRange message, Hdf5Type *out) {
    if (message.size < 8) return false;
    uint8_t flags = message.at[1];
    size_t size = (size_t)number_at(message.at + 4, 4);
    *out = (Hdf5Type){.size = size};
    switch (message.at[0] & 15) {
    case 0:
        if (is_whole_integer(message, size)) out->kind = HDF5_INTEGER;
        out->is_big_endian = (flags & 1) != 0;
        out->is_signed = (flags & 8) != 0;
        break;
    case 1:
        if (is_ieee(message)) out->kind = HDF5_REAL;
        break;
    case 3:
        if ((flags & 15) <= 2 && flags >> 4 <= 1) out->kind = HDF5_STRING;
        out->is_padded = (flags & 15) != 0;
        out->is_utf8 = flags >> 4 == 1;
        break;
    default: break;
    }
    return true;
}

bool space_parse(ByteRange message, Space *out) {
    if (message.size < 4) return false;
    int version = message.at[0], rank = message.at[1];
    size_t before = version == 1 ? 8 : 4;
    *out = (Space){.is_null = version == 2 && message.at[3] == 2, .rank = rank};
    if (version < 1 || version > 2 || rank > HDF5_MOST_RANK ||
        message.size < before + 8 * (size_t)rank)
        return false;
    for (int i = 0; i < rank; i++) out->dims[i] = number_at(message.at + before + 8 * i, 8);
    return true;
}

/* The bytes of all values; false if they overflow. */
static bool space_bytes(const Space *space, size_t size, size_t *out) {
    *out = space->is_null ? 0 : size;
    for (int i = 0; i < space->rank; i++) {
        if (!checked_mul(*out, space->dims[i], out)) return false;
    }
    return true;
}

/* ---- attributes ------------------------------------------------------------------------------ */

typedef struct Attribute {
    ByteRange name, type, space, data;
    bool is_foreign; /* its type or space lies elsewhere */
} Attribute;

/* Version 1 pads its parts to 8 bytes. */
static bool part_take(ByteRange *from, uint64_t n, bool is_padded, ByteRange *out) {
    if (!bytes_take(from, is_padded ? (n + 7) / 8 * 8 : n, out)) return false;
    out->size = (size_t)n;
    return true;
}

static bool attribute_split(ByteRange message, Attribute *out) {
    ByteRange head, charset;
    if (!bytes_take(&message, 8, &head)) return false;
    int version = head.at[0];
    bool is_padded = version == 1, is_known = version >= 1 && version <= 3;
    if (!is_known || (version == 3 && !bytes_take(&message, 1, &charset))) return false;
    out->is_foreign = version > 1 && head.at[1] != 0;
    bool fits = part_take(&message, number_at(head.at + 2, 2), is_padded, &out->name) &&
                part_take(&message, number_at(head.at + 4, 2), is_padded, &out->type) &&
                part_take(&message, number_at(head.at + 6, 2), is_padded, &out->space);
    out->data = message;
    return fits && memchr(out->name.at, '\0', out->name.size) != NULL;
}

/* False if its values are not all in the message. */
static bool attribute_parse(const Attribute *a, Hdf5Value *out) {
    Space space;
    size_t bytes;
    *out = (Hdf5Value){.type.kind = HDF5_OTHER};
    if (a->is_foreign) return true;
    bool is_whole = type_parse(a->type, &out->type) && space_parse(a->space, &space) &&
                    space_bytes(&space, out->type.size, &bytes) && bytes <= a->data.size;
    if (is_whole && bytes == out->type.size) out->data = a->data.at;
    return is_whole;
}

Status hdf5_attribute_find(const Hdf5File *file, const Hdf5Object *object, const char *name,
                           Hdf5Value *out, bool *is_there) {
    Message message;
    Attribute attribute;
    size_t at = 0;
    *is_there = false;
    while (message_next(object, &at, &message)) {
        if (message.type == MESSAGE_ATTRIBUTE_INFO && info_has_heap(message.body, 2))
            return ERROR(STATUS_DATA,
                         "%s: has more attributes than fit their header; write it with 8, or for "
                         "an older version of HDF5",
                         file->input->path);
        if (message.type != MESSAGE_ATTRIBUTE || message.is_shared || *is_there) continue;
        if (!attribute_split(message.body, &attribute)) return hdf5_damaged(file);
        if (strcmp((const char *)attribute.name.at, name) != 0) continue;
        *is_there = true;
        if (!attribute_parse(&attribute, out)) return hdf5_damaged(file);
    }
    return OK;
}

int64_t hdf5_integer(const Hdf5Value *value) {
    size_t size = value->type.size;
    uint64_t bits = 0;
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = value->data[value->type.is_big_endian ? i : size - 1 - i];
        bits = i == 0 && value->type.is_signed ? (uint64_t)(int8_t)byte : bits << 8 | byte;
    }
    return (int64_t)bits;
}

/* ---- datasets -------------------------------------------------------------------------------- */

/* Versions 1 and 2, before HDF5 1.6, do not tell the bytes: they are those of the values. */
static bool layout_parse(ByteRange message, size_t bytes, Hdf5Dataset *out) {
    if (message.size < 2) return false;
    bool is_old = message.at[0] < 3;
    size_t kind = is_old ? 2 : 1, at = is_old ? 8 : 2;
    if (message.at[0] < 1 || message.at[0] > 5 || message.size <= kind) return false;
    out->is_contiguous = message.at[kind] == 1;
    out->at = HDF5_NOWHERE;
    if (!out->is_contiguous) return true;
    if (message.size < at + (is_old ? 8 : 16)) return false;
    out->at = number_at(message.at + at, 8);
    out->bytes = out->at == HDF5_NOWHERE ? 0 : is_old ? bytes : number_at(message.at + at + 8, 8);
    return true;
}

static bool body_find(const Hdf5Object *object, MessageType type, ByteRange *out) {
    Message message;
    bool is_there = message_find(object, type, &message);
    if (is_there) *out = message.body;
    return is_there;
}

static bool dataset_parse(const Hdf5Object *object, Hdf5Dataset *out) {
    ByteRange type, space, layout;
    Message message;
    Space shape;
    size_t bytes = 0;
    bool is_sound = body_find(object, MESSAGE_DATATYPE, &type) && type_parse(type, &out->type) &&
                    body_find(object, MESSAGE_DATASPACE, &space) && space_parse(space, &shape) &&
                    body_find(object, MESSAGE_LAYOUT, &layout);
    if (!is_sound ||
        !layout_parse(layout, space_bytes(&shape, out->type.size, &bytes) ? bytes : 0, out))
        return false;
    out->is_null = shape.is_null;
    out->rank = shape.rank;
    memcpy(out->dims, shape.dims, sizeof out->dims);
    out->is_external = message_find(object, MESSAGE_EXTERNAL, &message);
    out->is_filtered = message_find(object, MESSAGE_FILTERS, &message) &&
                       (message.is_shared || message.body.size < 2 || message.body.at[1] > 0);
    return true;
}

/* Whether a message that dataset_parse needs lies elsewhere, which a sound file may have. */
static bool is_shared(const Hdf5Object *object) {
    static const MessageType needed[] = {MESSAGE_DATATYPE, MESSAGE_DATASPACE, MESSAGE_LAYOUT};
    Message message;
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        if (message_find(object, needed[i], &message) && message.is_shared) return true;
    }
    return false;
}

Status hdf5_dataset_describe(const Hdf5File *file, const Hdf5Object *object, Hdf5Dataset *out) {
    *out = (Hdf5Dataset){0};
    if (is_shared(object))
        return ERROR(STATUS_DATA,
                     "%s: a dataset shares its type or shape with other objects, such as a "
                     "committed datatype, which is not read; copy its values to a dataset of a "
                     "plain type in a new file, in h5py by create_dataset(name, data=old[:])",
                     file->input->path);
    if (!dataset_parse(object, out)) return hdf5_damaged(file);
    uint64_t at = out->at;
    if (at == HDF5_NOWHERE || !__builtin_add_overflow(at, file->base, &out->at)) return OK;
    return hdf5_damaged(file);
}
