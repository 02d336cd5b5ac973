#include "checkpoints/safetensors.h"

#include "core/base/checked.h"
#include "core/base/file.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_BYTES = 8, MOST_HEADER_BYTES = 100 << 20 };

struct Safetensors {
    char path[PATH_MAX];
    InputFile input;
    uint64_t data; /* offset of the data, after the header */
    json_t *header;
    SafetensorsEntry *entries;
    size_t n_entries;
};

static const struct {
    const char *name;
    size_t size;
    DType dtype;
} types[] = {
    {"F32", 4, DTYPE_F32},   {"F64", 8, DTYPE_F64},       {"F16", 2, DTYPE_F16},
    {"BF16", 2, DTYPE_BF16}, {"I32", 4, DTYPE_I32},       {"I64", 8, DTYPE_I64},
    {"U16", 2, DTYPE_U16},   {"U8", 1, DTYPE_U8},         {"BOOL", 1, DTYPE_COUNT},
    {"I8", 1, DTYPE_COUNT},  {"I16", 2, DTYPE_COUNT},     {"U32", 4, DTYPE_COUNT},
    {"U64", 8, DTYPE_COUNT}, {"F8_E4M3", 1, DTYPE_COUNT}, {"F8_E5M2", 1, DTYPE_COUNT},
};

enum { N_TYPES = sizeof types / sizeof *types };

static Status bad(const Safetensors *f, const char *name, const char *what) {
    return ERROR(STATUS_DATA, "%s: tensor '%.100s': %s", f->path, name, what);
}

/* ---- an entry -------------------------------------------------------------------------------- */

static bool natural(const json_t *value, size_t *out) {
    if (!json_is_integer(value) || json_integer_value(value) < 0) return false;
    *out = (size_t)json_integer_value(value);
    return true;
}

/* Computes the bytes of the tensor from its shape. */
static Status shape_read(const Safetensors *f, const json_t *shape, size_t size,
                         SafetensorsEntry *out) {
    if (!json_is_array(shape)) return bad(f, out->name, "has no shape");
    if (json_array_size(shape) > SAFETENSORS_MAX_DIMS)
        return bad(f, out->name, "has more than 8 dimensions");
    out->n_dims = (int)json_array_size(shape);
    out->bytes = size;
    for (int d = 0; d < out->n_dims; d++) {
        size_t extent;
        if (!natural(json_array_get(shape, (size_t)d), &extent))
            return bad(f, out->name, "has a shape of non-integers");
        out->shape[d] = (int64_t)extent;
        if (!checked_mul(out->bytes, extent, &out->bytes))
            return bad(f, out->name, "has a shape that overflows");
    }
    return OK;
}

static Status offsets_read(const Safetensors *f, const json_t *offsets, SafetensorsEntry *out) {
    size_t begin, end, data_bytes = (size_t)(f->input.bytes - f->data);
    bool given = json_array_size(offsets) == 2 && natural(json_array_get(offsets, 0), &begin) &&
                 natural(json_array_get(offsets, 1), &end);
    if (!given) return bad(f, out->name, "has no data_offsets");
    if (begin > end || end > data_bytes)
        return bad(f, out->name, "lies outside the file, which may be truncated");
    if (end - begin != out->bytes)
        return bad(f, out->name, "has data_offsets that do not match its shape");
    out->file = &f->input;
    out->at = f->data + begin;
    return OK;
}

static Status entry_read(const Safetensors *f, const char *name, const json_t *value,
                         SafetensorsEntry *out) {
    const char *type = json_string_value(json_object_get(value, "dtype"));
    *out = (SafetensorsEntry){.name = name};
    for (int i = 0; type != NULL && i < N_TYPES; i++) {
        if (strcmp(types[i].name, type) != 0) continue;
        out->dtype = types[i].dtype;
        TRY(shape_read(f, json_object_get(value, "shape"), types[i].size, out));
        return offsets_read(f, json_object_get(value, "data_offsets"), out);
    }
    return bad(f, name, type == NULL ? "has no dtype" : "has an unknown dtype");
}

/* ---- the file -------------------------------------------------------------------------------- */

static int by_place(const void *a, const void *b) {
    const SafetensorsEntry *x = a, *y = b;
    if (x->at != y->at) return x->at < y->at ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

/* Every byte must belong to exactly one tensor. */
static Status coverage_check(const Safetensors *f) {
    uint64_t next = f->data;
    for (size_t i = 0; i < f->n_entries; i++) {
        const SafetensorsEntry *e = &f->entries[i];
        if (e->at < next) return bad(f, e->name, "overlaps another tensor");
        if (e->at > next) return bad(f, e->name, "follows bytes that belong to no tensor");
        next += e->bytes;
    }
    if (next == f->input.bytes) return OK;
    return ERROR(STATUS_DATA, "%s: %llu bytes at the end belong to no tensor", f->path,
                 (unsigned long long)(f->input.bytes - next));
}

static Status entries_read(Safetensors *f) {
    const char *name;
    json_t *value;
    f->entries = calloc(json_object_size(f->header) + 1, sizeof *f->entries);
    if (f->entries == NULL)
        return ERROR(STATUS_OUT_OF_MEMORY, "%s: out of memory for its list of tensors", f->path);
    json_object_foreach(f->header, name, value) {
        if (strcmp(name, "__metadata__") == 0) continue;
        TRY(entry_read(f, name, value, &f->entries[f->n_entries]));
        f->n_entries++;
    }
    qsort(f->entries, f->n_entries, sizeof *f->entries, by_place);
    return coverage_check(f);
}

static Status header_parse(Safetensors *f, const char *text, size_t bytes) {
    json_error_t error;
    f->header = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    if (f->header == NULL) return ERROR(STATUS_DATA, "%s: header: %s", f->path, error.text);
    return json_is_object(f->header)
               ? OK
               : ERROR(STATUS_DATA, "%s: its header is not a JSON object", f->path);
}

static Status header_read(Safetensors *f) {
    unsigned char head[LENGTH_BYTES];
    uint64_t length = UINT64_MAX;
    if (f->input.bytes >= LENGTH_BYTES) {
        TRY(input_read(&f->input, head, sizeof head, 0));
        length = 0;
        for (int i = LENGTH_BYTES - 1; i >= 0; i--) length = length << 8 | head[i];
    }
    if (length > MOST_HEADER_BYTES || length > f->input.bytes - LENGTH_BYTES) {
        return ERROR(STATUS_DATA, "%s: not a safetensors file, or truncated; download it again",
                     f->path);
    }
    f->data = LENGTH_BYTES + length;
    char *text = malloc((size_t)length + 1);
    if (text == NULL)
        return ERROR(STATUS_OUT_OF_MEMORY, "%s: out of memory for its header", f->path);
    Status status = input_read(&f->input, text, (size_t)length, LENGTH_BYTES);
    if (!failed(status)) status = header_parse(f, text, (size_t)length);
    free(text);
    return status;
}

Status safetensors_open(const char *path, Safetensors **out) {
    Safetensors *f = *out = calloc(1, sizeof *f);
    if (f == NULL) return ERROR(STATUS_OUT_OF_MEMORY, "%s: out of memory", path);
    snprintf(f->path, sizeof f->path, "%s", path);
    Status status = input_open(f->path, &f->input);
    if (!failed(status)) status = header_read(f);
    if (!failed(status)) status = entries_read(f);
    if (failed(status)) safetensors_close(out);
    return status;
}

void safetensors_close(Safetensors **file) {
    if (file == NULL || *file == NULL) return;
    input_close(&(*file)->input);
    json_decref((*file)->header);
    free((*file)->entries);
    free(*file);
    *file = NULL;
}

const SafetensorsEntry *safetensors_entries(const Safetensors *file, size_t *n) {
    *n = file->n_entries;
    return file->entries;
}

/* ---- writing --------------------------------------------------------------------------------- */

static const char *type_name(DType dtype) {
    for (int i = 0; i < N_TYPES; i++) {
        if (types[i].dtype == dtype) return types[i].name;
    }
    return "U8";
}

static json_t *header_of(const SafetensorsEntry *entries, size_t n) {
    json_t *header = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    json_int_t offset = 0;
    for (size_t i = 0; i < n; i++) {
        json_t *shape = json_array();
        for (int d = 0; d < entries[i].n_dims; d++)
            json_array_append_new(shape, json_integer(entries[i].shape[d]));
        json_int_t end = offset + (json_int_t)entries[i].bytes;
        json_object_set_new(header, entries[i].name,
                            json_pack("{s:s, s:o, s:[I,I]}", "dtype", type_name(entries[i].dtype),
                                      "shape", shape, "data_offsets", offset, end));
        offset = end;
    }
    return header;
}

/* The length, `text`, and spaces to align the data. The caller frees it; NULL if memory is out. */
static unsigned char *header_bytes(const char *text, size_t *bytes) {
    size_t length = strlen(text), padded = (length + 7) / 8 * 8;
    unsigned char *out = malloc(LENGTH_BYTES + padded);
    if (out == NULL) return NULL;
    for (int i = 0; i < LENGTH_BYTES; i++) out[i] = (unsigned char)(padded >> (8 * i) & 255);
    memset(out + LENGTH_BYTES, ' ', padded);
    memcpy(out + LENGTH_BYTES, text, length);
    *bytes = LENGTH_BYTES + padded;
    return out;
}

Status safetensors_write_header(FILE *file, const char *path, const SafetensorsEntry *entries,
                                size_t n) {
    size_t bytes = 0;
    json_t *header = header_of(entries, n);
    char *text = json_dumps(header, JSON_COMPACT | JSON_PRESERVE_ORDER);
    unsigned char *out = text == NULL ? NULL : header_bytes(text, &bytes);
    Status status = OK;
    if (out == NULL) {
        status =
            ERROR(STATUS_OUT_OF_MEMORY, "%s: out of memory for a header of %zu tensors", path, n);
    } else if (fwrite(out, 1, bytes, file) != bytes) {
        status = file_cannot_write(path, errno);
    }
    json_decref(header);
    free(text);
    free(out);
    return status;
}
