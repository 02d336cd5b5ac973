#include "launch/convert/formats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 1 << 16 };

static Status cannot(const Output *output) {
    return ERROR(STATUS_FAILURE, "%s: cannot write: %s", output->path, strerror(errno));
}

Status output_open(const char *path, Output *out) {
    struct stat info;
    *out = (Output){.path = path};
    if (lstat(path, &info) == 0) return ERROR(STATUS_DATA, "%s: is there already; remove it first", path);
    if (asprintf(&out->aside, "%s.%d.new", path, (int)getpid()) < 0)
        return ERROR(STATUS_FAILURE, "%s: out of memory", path);
    out->file = fopen(out->aside, "wx");
    if (out->file != NULL) return OK;
    Status status = cannot(out);
    free(out->aside);
    out->aside = NULL;
    return status;
}

Status output_values(Output *output, const float *values, int64_t n, DType dtype) {
    static _Thread_local float piece[PIECE];
    for (int64_t i = 0; i < n; i += PIECE) {
        size_t count = (size_t)(n - i < PIECE ? n - i : PIECE);
        if (!values_from_f32(values + i, dtype, (int64_t)count, piece)) {
            return ERROR(STATUS_UNSUPPORTED, "%s: %s cannot be written", output->path, dtype_name(dtype));
        }
        if (fwrite(piece, dtype_size(dtype), count, output->file) != count) return cannot(output);
    }
    return OK;
}

Status output_finish(Output *output, Status status) {
    if (output->file == NULL) return status;
    bool whole = fflush(output->file) == 0 && fsync(fileno(output->file)) == 0;
    if (!failed(status) && !whole) status = cannot(output);
    fclose(output->file);
    if (!failed(status) && rename(output->aside, output->path) != 0) status = cannot(output);
    if (failed(status)) unlink(output->aside);
    free(output->aside);
    *output = (Output){0};
    return status;
}
