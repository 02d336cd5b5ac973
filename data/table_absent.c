/* In the place of table_arrow.cc in a build without Apache Arrow. */
#include "data/table_documents.h"

Status table_documents_read(const char *path, const char *field, const DocumentSink *sink,
                            double *share) {
    (void)field, (void)sink, (void)share;
    return ERROR(
        STATUS_DATA,
        "%s: a table of Parquet or Arrow, which this build cannot read; run python3 -m pip "
        "install --target build/python pyarrow, then scons",
        path);
}
