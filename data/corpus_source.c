#include "data/corpus_source.h"

#include "core/base/file.h"
#include "core/base/utf8.h"
#include "data/json_documents.h"
#include "data/known_files.h"
#include "data/table_documents.h"
#include "data/text_documents.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 1 << 20, LINE_BYTES = 64 << 10, LEAST_HEAD_BYTES = 32 };

static const char *shown(const CorpusSource *source) {
    return strcmp(source->path, "-") == 0 ? "standard input" : source->path;
}

/* ---- the kind of a file ---------------------------------------------------------------------- */

static Status other_kind(const CorpusSource *source, const char *what, const char *advice) {
    return ERROR(STATUS_DATA, "%s: not text: it is %s; %s", shown(source), what, advice);
}

/* A byte that no text in UTF-8 has, or has rarely. */
static bool is_odd(uint8_t byte) {
    return (byte < ' ' && memchr("\t\n\v\f\r\033", byte, 6) == NULL) || byte == 0x7f;
}

/* Refuses a file with a zero byte in its head, or with too many odd or invalid bytes. */
static Status binary_check(const CorpusSource *source, const uint8_t *head, size_t bytes) {
    static const char advice[] =
        "leave it out, with --include='*.txt' in a directory; --input=text "
        "takes it as it is";
    size_t odd = 0;
    for (size_t at = 0; at < bytes;) {
        size_t length = utf8_character(head + at, bytes - at);
        if (head[at] == 0) {
            return ERROR(STATUS_DATA, "%s: not text: byte %zu is zero; %s", shown(source), at,
                         advice);
        }
        odd += length == 0 || is_odd(head[at]);
        at += length == 0 ? 1 : length;
    }
    if (odd * 4 <= bytes || bytes < LEAST_HEAD_BYTES) return OK;
    return ERROR(
        STATUS_DATA,
        "%s: not text: %zu of the first %zu bytes are not UTF-8; convert it with iconv, or "
        "%s",
        shown(source), odd, bytes, advice);
}

static bool name_ends(const char *path, const char *ending) {
    size_t length = strlen(path), n = strlen(ending);
    return length >= n && strcmp(path + length - n, ending) == 0;
}

static bool is_named_as_json(const char *path) {
    static const char *const names[] = {".jsonl", ".ndjson"}, *const codecs[] = {"", ".gz", ".zst"};
    char ending[16];
    for (int i = 0; i < 6; i++) {
        snprintf(ending, sizeof ending, "%s%s", names[i / 3], codecs[i % 3]);
        if (name_ends(path, ending)) return true;
    }
    return false;
}

static Status json_refuse(const CorpusSource *source, const uint8_t *head, size_t bytes) {
    char fields[256];
    bool is_json =
        json_documents_are(head, bytes, fields, sizeof fields) || is_named_as_json(source->path);
    if (!is_json) return OK;
    return ERROR(STATUS_DATA,
                 "%s: JSON lines, not plain text; name the field that holds the text, as "
                 "--field=text%s%s; --input=text takes it as it is",
                 shown(source), fields[0] == '\0' ? "" : " (fields of the first line: ",
                 fields[0] == '\0' ? "" : strcat(fields, ")"));
}

static Status text_check(const CorpusSource *source, const uint8_t *head, size_t bytes) {
    const KnownFile *known = known_file_find(head, bytes);
    if (table_documents_are(head, bytes))
        return other_kind(source, known->what,
                          "name the column that holds the text, as --field=text");
    if (known != NULL && known->as_text != NULL)
        return other_kind(source, known->what, known->as_text);
    TRY(json_refuse(source, head, bytes));
    return binary_check(source, head, bytes);
}

static Status records_check(CorpusSource *source, const uint8_t *head, size_t bytes) {
    const KnownFile *known = known_file_find(head, bytes);
    source->kind = table_documents_are(head, bytes) ? SOURCE_TABLE : SOURCE_JSON;
    if (source->kind == SOURCE_TABLE && source->is_plain) return OK;
    if (source->kind == SOURCE_TABLE) {
        return ERROR(STATUS_DATA,
                     "%s: %s can be read from an uncompressed file only; name the file",
                     shown(source), known->what);
    }
    if (known == NULL || known->as_text == NULL) return OK;
    return other_kind(source, known->what, known->as_text);
}

static Status kind_find(CorpusSource *source, const CorpusOptions *options) {
    size_t bytes;
    const uint8_t *head = text_stream_head(source->stream, &bytes);
    if (bytes == 0 && !source->is_named) return OK; /* SOURCE_EMPTY */
    if (bytes == 0) return ERROR(STATUS_DATA, "%s: is empty; name a file with text", shown(source));
    source->kind = SOURCE_TEXT;
    if (options->field != NULL) return records_check(source, head, bytes);
    return options->takes_anything ? OK : text_check(source, head, bytes);
}

Status corpus_source_open(const InputPath *input, const CorpusOptions *options, CorpusSource *out) {
    *out = (CorpusSource){.path = input->path,
                          .is_named = input->is_named,
                          .copy = -1,
                          .interrupted = options->interrupted};
    TRY(text_stream_open(input->path, options->interrupted, &out->stream));
    out->bytes = text_stream_file_bytes(out->stream);
    out->is_plain = out->bytes >= 0 && !text_stream_is_compressed(out->stream);
    TRY(kind_find(out, options));
    if (out->bytes >= 0) text_stream_close(&out->stream); /* opened again to read it */
    return OK;
}

void corpus_source_close(CorpusSource *source) {
    text_stream_close(&source->stream);
    file_close(source->copy);
    source->copy = -1;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Opens the file again; a pipe is still open. */
static Status stream_take(const CorpusSource *source, TextStream **out) {
    *out = source->stream;
    if (source->stream != NULL) return OK;
    if (source->copy >= 0)
        return text_stream_of_file(source->copy, shown(source), source->interrupted, out);
    TRY(text_stream_open(source->path, source->interrupted, out));
    if (text_stream_file_bytes(*out) == source->bytes) return OK;
    text_stream_close(out);
    return ERROR(STATUS_DATA, "%s: its size changed during reading; start again", source->path);
}

Status corpus_source_read(CorpusSource *source, const CorpusOptions *options, TextNotes *notes,
                          const DocumentSink *sink) {
    if (source->kind == SOURCE_TABLE)
        return table_documents_read(source->path, options->field, sink, &source->share);
    TRY(stream_take(source, &source->stream));
    Status status = source->kind == SOURCE_JSON
                        ? json_documents_read(source->stream, options->field, sink)
                        : text_documents_read(source->stream, options->separator,
                                              options->separator_bytes, notes, sink);
    text_stream_close(&source->stream);
    return status;
}

int64_t corpus_source_position(const CorpusSource *source) {
    if (source->kind == SOURCE_TABLE) return (int64_t)((double)source->bytes * source->share);
    return source->stream == NULL ? 0 : text_stream_position(source->stream);
}

/* ---- the size of the text -------------------------------------------------------------------- */

/* Counts the text, and copies it if there is a copy. `block`: BLOCK_BYTES of memory. */
static Status text_count(CorpusSource *source, uint8_t *block) {
    for (size_t got = BLOCK_BYTES; got == BLOCK_BYTES;) {
        TRY(text_stream_read(source->stream, block, BLOCK_BYTES, &got));
        source->text_bytes += (int64_t)got;
        int error = source->copy < 0 ? 0 : file_write_all(source->copy, block, got);
        if (error == 0) continue;
        return ERROR(STATUS_FAILURE, "%s: cannot keep a copy of it: %s", shown(source),
                     strerror(error));
    }
    return OK;
}

Status corpus_source_measure(CorpusSource *source, const char *scratch) {
    char path[PATH_MAX];
    source->text_bytes = source->is_plain ? source->bytes : 0;
    if (source->is_plain) return OK;
    TRY(stream_take(source, &source->stream));
    if (source->bytes < 0) TRY(file_open_unnamed(scratch, "input", path, &source->copy));
    uint8_t *block = malloc(BLOCK_BYTES);
    Status status = block == NULL ? OUT_OF_MEMORY("%s", shown(source)) : text_count(source, block);
    free(block);
    text_stream_close(&source->stream);
    if (source->bytes < 0) source->bytes = source->text_bytes;
    return status;
}

/* Returns the number of bytes from the end of `bytes` back to the position after the last newline
 * or, without a newline, to the start of a character. */
static int64_t back_of(const uint8_t *bytes, size_t size) {
    const uint8_t *newline = memrchr(bytes, '\n', size);
    if (newline != NULL) return bytes + size - (newline + 1);
    return (int64_t)(size - utf8_cut(bytes, size));
}

static Status window_read(TextStream *stream, int64_t start, uint8_t *out, size_t bytes) {
    size_t got;
    TRY(text_stream_skip(stream, start));
    return text_stream_read(stream, out, bytes, &got);
}

Status corpus_source_line(const CorpusSource *source, int64_t at, int64_t *back) {
    static uint8_t bytes[LINE_BYTES];
    size_t size = at < LINE_BYTES ? (size_t)at : LINE_BYTES;
    TextStream *stream;
    TRY(stream_take(source, &stream));
    Status status = window_read(stream, at - (int64_t)size, bytes, size);
    text_stream_close(&stream);
    *back = failed(status) ? 0 : back_of(bytes, size);
    return status;
}
