#include "data/text_documents.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 1 << 20 };

typedef struct TextBlock {
    uint8_t *bytes;
    size_t filled;
    const uint8_t *separator;
    size_t length; /* of the separator */
} TextBlock;

static Status part_pass(const DocumentSink *sink, const uint8_t *text, size_t bytes) {
    return bytes == 0 ? OK : sink->part(sink->context, text, bytes);
}

/* Passes all of the block but the bytes at its end that could begin a separator. */
static Status block_pass(TextBlock *b, bool is_last, const DocumentSink *sink) {
    uint8_t *at = b->bytes, *end = b->bytes + b->filled, *found;
    while (b->length > 0 && (found = memmem(at, (size_t)(end - at), b->separator, b->length))) {
        TRY(part_pass(sink, at, (size_t)(found - at)));
        TRY(sink->end(sink->context));
        at = found + b->length;
    }
    size_t left = (size_t)(end - at), kept = is_last || b->length == 0 ? 0 : b->length - 1;
    if (kept > left) kept = left;
    TRY(part_pass(sink, at, left - kept));
    memmove(b->bytes, end - kept, kept);
    b->filled = kept;
    return is_last ? sink->end(sink->context) : OK;
}

static Status blocks_pass(TextStream *stream, TextBlock *b, TextNotes *notes,
                          const DocumentSink *sink) {
    for (bool is_last = false; !is_last;) {
        size_t got, space = BLOCK_BYTES - b->filled;
        TRY(text_stream_read(stream, b->bytes + b->filled, space, &got));
        text_notes_part(notes, b->bytes + b->filled, got);
        is_last = got < space;
        b->filled += got;
        TRY(block_pass(b, is_last, sink));
    }
    return OK;
}

Status text_documents_read(TextStream *stream, const uint8_t *separator, size_t length,
                           TextNotes *notes, const DocumentSink *sink) {
    TextBlock block = {.bytes = malloc(BLOCK_BYTES), .separator = separator, .length = length};
    if (block.bytes == NULL) return OUT_OF_MEMORY("a block of text");
    text_notes_begin(notes, text_stream_path(stream));
    Status status = blocks_pass(stream, &block, notes, sink);
    text_notes_end(notes);
    free(block.bytes);
    return status;
}
