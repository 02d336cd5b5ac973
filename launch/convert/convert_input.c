#include "core/convert.h"
#include "launch/convert/formats.h"

enum { BLOCK_BYTES = 1 << 16 };

bool values_to_f32(const void *from, DType dtype, int64_t n, float *to) {
    if (dtype != DTYPE_F64 && dtype != DTYPE_F32 && dtype != DTYPE_F16 && dtype != DTYPE_BF16)
        return false;
    for (int64_t i = 0; i < n; i++) to[i] = (float)real_load(from, dtype, i);
    return true;
}

Status input_values(const InputFile *file, const char *tensor, uint64_t at, DType dtype, int64_t n,
                    float *out) {
    _Alignas(double) unsigned char block[BLOCK_BYTES];
    if (!values_to_f32(block, dtype, 0, out)) {
        return ERROR(STATUS_DATA, "%s: tensor '%.100s' is not of a floating-point type", file->path,
                     tensor);
    }
    int64_t size = (int64_t)dtype_size(dtype), most = BLOCK_BYTES / size;
    for (int64_t i = 0; i < n; i += most) {
        int64_t count = n - i < most ? n - i : most;
        TRY(input_read(file, block, (size_t)(count * size), at + (uint64_t)(i * size)));
        values_to_f32(block, dtype, count, out + i);
    }
    return OK;
}
