#include "core/base/file.h"
#include "core/convert.h"
#include "launch/convert/formats.h"

#include <errno.h>
#include <math.h>

enum { BLOCK = 1 << 16 };

Status output_open_new(const char *path, Output *out) {
    TRY(output_check_new(path));
    return output_create(path, out);
}

/* Finite weights beyond the largest bf16 or f16 would be rounded to infinity. */
static Status range_check(const Output *output, const float *values, size_t n, DType dtype) {
    float bound = dtype == DTYPE_F16 ? 65520 : 0x1.FFp127F;
    for (size_t i = 0; dtype != DTYPE_F32 && i < n; i++) {
        if (fabsf(values[i]) < bound) continue;
        return ERROR(STATUS_DATA, "%s: a weight of %g is beyond %s; write float32", output->path,
                     (double)values[i], dtype == DTYPE_F16 ? "float16" : "bfloat16");
    }
    return OK;
}

Status output_values(Output *output, const float *values, int64_t n, DType dtype) {
    static _Thread_local float block[BLOCK];
    if (dtype != DTYPE_F32 && dtype != DTYPE_BF16 && dtype != DTYPE_F16)
        return ERROR(STATUS_UNSUPPORTED, "%s: %s cannot be written", output->path,
                     dtype_name(dtype));
    for (int64_t i = 0; i < n; i += BLOCK) {
        size_t count = (size_t)(n - i < BLOCK ? n - i : BLOCK);
        TRY(range_check(output, values + i, count, dtype));
        for (size_t k = 0; k < count; k++)
            real_store(block, dtype, (int64_t)k, (double)values[(size_t)i + k]);
        if (fwrite(block, dtype_size(dtype), count, output->file) != count) {
            return file_cannot_write(output->path, errno);
        }
    }
    return OK;
}
