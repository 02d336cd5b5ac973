/* Loads the module only when a table is read: Apache Arrow takes long to load, and pyarrow, which
 * holds its libraries, may have been removed since the build. */
#include "data/table_module.h"

#include "core/base/program_file.h"
#include "data/table_documents.h"

#include <dlfcn.h>
#include <string.h>

#define INSTALL "python3 -m pip install --target build/python pyarrow"

static Status module_load(const char *path, TableReadFn *read) {
    static const char *const places[] = {"table_arrow.so", "build/table_arrow.so", NULL};
    char module[PROGRAM_PATH_BYTES];
    if (!program_file_find(places, module)) {
        return ERROR(STATUS_DATA,
                     "%s: a table of Parquet or Arrow, which this build cannot read; run " INSTALL
                     ", then scons",
                     path);
    }
    void *library = dlopen(module, RTLD_NOW);
    void *entry = library == NULL ? NULL : dlsym(library, "table_module_read");
    if (entry == NULL) {
        return ERROR(
            STATUS_DATA,
            "%s: a table of Parquet or Arrow, whose library does not load: %.300s; run " INSTALL
            ", then scons",
            path, dlerror());
    }
    memcpy(read, &entry, sizeof entry);
    return OK;
}

Status table_documents_read(const char *path, const char *field, const DocumentSink *sink,
                            double *share) {
    TableReadFn read;
    TRY(module_load(path, &read));
    return read(path, field, sink, share);
}
