/* The entry of the module that reads tables, data/table_arrow.cc: as table_documents_read. */
#pragma once

#include "data/document_sink.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef Status (*TableReadFn)(const char *path, const char *field, const DocumentSink *sink,
                              double *share);

NODISCARD Status table_module_read(const char *path, const char *field, const DocumentSink *sink,
                                   double *share);

#ifdef __cplusplus
}
#endif
