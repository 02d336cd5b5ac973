/* Documents of tables: Parquet, and Arrow's file and stream format, which `datasets` of Hugging
 * Face writes. The text is a column; each row is a document. Read by Apache Arrow's C++ library. */
#pragma once

#include "data/document_sink.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Whether a file that starts with these bytes is such a table. */
bool table_documents_are(const uint8_t *bytes, size_t size);

/* table_documents_read: passes the texts in column `field` to a sink; null is an empty document.
 * *share = the share of the table that has been read, 0 to 1. Not collective.
 *   Errors: STATUS_DATA if the file is damaged, has no such column, or not text in it, and if this
 *   build lacks the library; those of the sink. */
NODISCARD Status table_documents_read(const char *path, const char *field, const DocumentSink *sink,
                                      double *share);

#ifdef __cplusplus
}
#endif
