/* Writes protocol buffer messages. Not collective.
 *   Source: protobuf.dev/programming-guides/encoding.
 *
 *   ProtoMessage outer, inner;
 *   proto_begin(&outer);
 *   proto_begin(&inner);
 *   proto_string(&inner, 1, "tag");
 *   proto_message(&outer, 5, &inner);       ... which ends inner
 *   if (proto_end(&outer)) ... outer.bytes, outer.size ...
 *   proto_free(&outer);
 *
 * If memory is out, the message and those around it fail in proto_end. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct ProtoMessage {
    FILE *file; /* NULL: ended, or out of memory */
    char *bytes;
    size_t size;
} ProtoMessage;

/* Starts an empty message, which must stay where it is. */
void proto_begin(ProtoMessage *message);

/* Append a field by its number. */
void proto_int(ProtoMessage *message, int field, int64_t value);
void proto_double(ProtoMessage *message, int field, double value);
void proto_float(ProtoMessage *message, int field, float value);
void proto_bytes(ProtoMessage *message, int field, const void *bytes, size_t size);
void proto_string(ProtoMessage *message, int field, const char *text);
void proto_message(ProtoMessage *message, int field, ProtoMessage *inner);

/* False if memory was out. */
bool proto_end(ProtoMessage *message);
void proto_free(ProtoMessage *message);
