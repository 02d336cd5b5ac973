/* Documents of JSON lines: a JSON object on each line, one of whose fields is the text. */
#pragma once

#include "data/document_sink.h"
#include "data/text_stream.h"

#include <stdbool.h>

/* json_documents_read: passes the texts in `field` to a sink. Empty lines are left out; null is an
 * empty document. Not collective.
 *   Errors: STATUS_DATA, with the number of the line, for a line that is not a JSON object in
 * UTF-8, has no such field or not a string in it, or is longer than 1 GiB; those of
 * text_stream_read and of the sink; STATUS_OUT_OF_MEMORY. */
NODISCARD Status json_documents_read(TextStream *stream, const char *field,
                                     const DocumentSink *sink);

/* Whether text begins, behind spaces or the mark of UTF-8, with a line that is a whole JSON object
 * with a string in it, with one that is longer than the text, or with an array of objects. Writes
 * the names of the whole object's strings. An object that is spread over lines is one of a
 * program's files. */
bool json_documents_are(const uint8_t *text, size_t bytes, char *fields, size_t capacity);
