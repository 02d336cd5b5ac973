/* Documents of plain text: a whole file, or its parts between separators. */
#pragma once

#include "data/document_sink.h"
#include "data/text_notes.h"
#include "data/text_stream.h"

/* text_documents_read: passes the rest of a stream to a sink. `separator`: bytes that end a
 * document and belong to none; length 0: the stream is one document. Not collective. Errors: those
 * of text_stream_read and of the sink; STATUS_OUT_OF_MEMORY. */
NODISCARD Status text_documents_read(TextStream *stream, const uint8_t *separator, size_t length,
                                     TextNotes *notes, const DocumentSink *sink);
