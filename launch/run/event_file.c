#include "launch/run/event_file.h"

#include "core/base/file.h"
#include "launch/base/crc32c.h"
#include "launch/base/protobuf.h"
#include "launch/base/utc.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct EventFile {
    int fd;
    char path[PATH_MAX];
};

/* The numbers of the fields. */
enum {
    EVENT_WALL_TIME = 1,
    EVENT_STEP = 2,
    EVENT_FILE_VERSION = 3,
    EVENT_SUMMARY = 5,
    EVENT_SESSION_LOG = 7,
    SESSION_STATUS = 1,
    SESSION_START = 1, /* its value */
    SUMMARY_VALUE = 1,
    VALUE_TAG = 1,
    VALUE_SIMPLE_VALUE = 2,
    VALUE_TENSOR = 8,
    VALUE_METADATA = 9,
    METADATA_PLUGIN = 1,
    PLUGIN_NAME = 1,
    TENSOR_DTYPE = 1,
    TENSOR_SHAPE = 2,
    TENSOR_STRING = 8,
    DTYPE_STRING = 7 /* its value */
};

/* ---- events ---------------------------------------------------------------------------------- */

static uint32_t masked_crc(const void *bytes, size_t size) {
    uint32_t crc = crc32c(bytes, size);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

/* Appends a record in one write, so that a reader never sees a part of one that is followed by
 * another. */
static Status record_write(EventFile *f, const void *data, uint64_t size) {
    uint32_t length_crc = masked_crc(&size, sizeof size), data_crc = masked_crc(data, size);
    size_t bytes = sizeof size + size + 2 * sizeof data_crc;
    char *record = malloc(bytes), *at = record;
    if (record == NULL) return OUT_OF_MEMORY("%s", f->path);
    at = mempcpy(at, &size, sizeof size);
    at = mempcpy(at, &length_crc, sizeof length_crc);
    at = mempcpy(at, data, size);
    memcpy(at, &data_crc, sizeof data_crc);
    int error = file_write_all(f->fd, record, bytes);
    free(record);
    return error == 0 ? OK : file_cannot_write(f->path, error);
}

static void event_begin(int64_t step, ProtoMessage *event) {
    proto_begin(event);
    proto_double(event, EVENT_WALL_TIME, utc_seconds());
    proto_int(event, EVENT_STEP, step);
}

static Status event_write(EventFile *f, ProtoMessage *event) {
    Status status = proto_end(event) ? record_write(f, event->bytes, event->size)
                                     : OUT_OF_MEMORY("%s", f->path);
    proto_free(event);
    return status;
}

static Status start_write(EventFile *f, int64_t resumed_step) {
    ProtoMessage version, event, session;
    event_begin(0, &version);
    proto_string(&version, EVENT_FILE_VERSION, "brain.Event:2");
    TRY(event_write(f, &version));
    if (resumed_step == 0) return OK;
    event_begin(resumed_step + 1, &event);
    proto_begin(&session);
    proto_int(&session, SESSION_STATUS, SESSION_START);
    proto_message(&event, EVENT_SESSION_LOG, &session);
    return event_write(f, &event);
}

Status event_file_create(const char *directory, int64_t resumed_step, EventFile **out) {
    EventFile *f = *out = calloc(1, sizeof **out);
    char host[256] = "";
    if (f == NULL) return OUT_OF_MEMORY("an event file");
    gethostname(host, sizeof host - 1);
    snprintf(f->path, sizeof f->path, "%s/events.out.tfevents.%010lld.%s.%d", directory,
             (long long)utc_seconds(), host, (int)getpid());
    f->fd = -1;
    TRY(file_open_append(f->path, &f->fd));
    return start_write(f, resumed_step);
}

void event_file_close(EventFile **file) {
    if (file == NULL || *file == NULL) return;
    file_close((*file)->fd);
    free(*file);
    *file = NULL;
}

static void scalar_put(ProtoMessage *summary, const char *tag, double number) {
    ProtoMessage value;
    proto_begin(&value);
    proto_string(&value, VALUE_TAG, tag);
    proto_float(&value, VALUE_SIMPLE_VALUE, (float)number);
    proto_message(summary, SUMMARY_VALUE, &value);
}

Status event_file_scalars(EventFile *f, int64_t step, json_t *record) {
    ProtoMessage event, summary;
    const char *tag;
    json_t *value;
    event_begin(step, &event);
    proto_begin(&summary);
    json_object_foreach(record, tag, value) {
        if (json_is_number(value) && strcmp(tag, "step") != 0)
            scalar_put(&summary, tag, json_number_value(value));
    }
    proto_message(&event, EVENT_SUMMARY, &summary);
    return event_write(f, &event);
}

/* TensorBoard shows Markdown: four blanks before each line make it literal. NULL if memory is
 * out. */
static char *literal(const char *text) {
    size_t lines = 1;
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++) lines++;
    char *out = malloc(strlen(text) + 4 * lines + 1), *to = out;
    for (size_t bytes; out != NULL && *text != '\0'; text += bytes) {
        bytes = strcspn(text, "\n");
        bytes += text[bytes] == '\n';
        to = mempcpy(mempcpy(to, "    ", 4), text, bytes);
    }
    if (out != NULL) *to = '\0';
    return out;
}

/* A tensor of one string, with the name of the plugin that shows it. */
static void text_put(ProtoMessage *summary, const char *tag, const char *text) {
    ProtoMessage value, tensor, metadata, plugin;
    proto_begin(&value);
    proto_begin(&tensor);
    proto_begin(&metadata);
    proto_begin(&plugin);
    proto_string(&value, VALUE_TAG, tag);
    proto_int(&tensor, TENSOR_DTYPE, DTYPE_STRING);
    proto_bytes(&tensor, TENSOR_SHAPE, "", 0);
    proto_string(&tensor, TENSOR_STRING, text);
    proto_message(&value, VALUE_TENSOR, &tensor);
    proto_string(&plugin, PLUGIN_NAME, "text");
    proto_message(&metadata, METADATA_PLUGIN, &plugin);
    proto_message(&value, VALUE_METADATA, &metadata);
    proto_message(summary, SUMMARY_VALUE, &value);
}

Status event_file_text(EventFile *f, int64_t step, const char *tag, const char *text) {
    char *shown = literal(text);
    if (shown == NULL) return OUT_OF_MEMORY("%s", f->path);
    ProtoMessage event, summary;
    event_begin(step, &event);
    proto_begin(&summary);
    text_put(&summary, tag, shown);
    free(shown);
    proto_message(&event, EVENT_SUMMARY, &summary);
    return event_write(f, &event);
}
