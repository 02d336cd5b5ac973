#include "launch/base/protobuf.h"

#include <stdlib.h>
#include <string.h>

typedef enum WireType { WIRE_VARINT = 0, WIRE_I64 = 1, WIRE_BYTES = 2, WIRE_I32 = 5 } WireType;

void proto_begin(ProtoMessage *m) {
    *m = (ProtoMessage){0};
    m->file = open_memstream(&m->bytes, &m->size);
}

static void raw_put(ProtoMessage *m, const void *bytes, size_t size) {
    if (m->file != NULL) fwrite(bytes, 1, size, m->file);
}

/* Seven bits a byte, the lowest first. */
static void varint_put(ProtoMessage *m, uint64_t value) {
    unsigned char bytes[10];
    size_t n = 0;
    for (; value >= 0x80; value >>= 7) bytes[n++] = (unsigned char)(value | 0x80);
    bytes[n++] = (unsigned char)value;
    raw_put(m, bytes, n);
}

static void key_put(ProtoMessage *m, int field, WireType type) {
    varint_put(m, (uint64_t)field << 3 | (uint64_t)type);
}

void proto_int(ProtoMessage *m, int field, int64_t value) {
    key_put(m, field, WIRE_VARINT);
    varint_put(m, (uint64_t)value);
}

void proto_double(ProtoMessage *m, int field, double value) {
    key_put(m, field, WIRE_I64);
    raw_put(m, &value, sizeof value);
}

void proto_float(ProtoMessage *m, int field, float value) {
    key_put(m, field, WIRE_I32);
    raw_put(m, &value, sizeof value);
}

void proto_bytes(ProtoMessage *m, int field, const void *bytes, size_t size) {
    key_put(m, field, WIRE_BYTES);
    varint_put(m, size);
    raw_put(m, bytes, size);
}

void proto_string(ProtoMessage *m, int field, const char *text) {
    proto_bytes(m, field, text, strlen(text));
}

void proto_message(ProtoMessage *m, int field, ProtoMessage *inner) {
    if (proto_end(inner))
        proto_bytes(m, field, inner->bytes, inner->size);
    else
        proto_free(m);
    proto_free(inner);
}

bool proto_end(ProtoMessage *m) {
    bool is_whole = m->file != NULL && fclose(m->file) == 0;
    m->file = NULL;
    return is_whole;
}

void proto_free(ProtoMessage *m) {
    if (m->file != NULL) fclose(m->file);
    free(m->bytes);
    *m = (ProtoMessage){0};
}
