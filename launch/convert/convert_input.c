#include "launch/convert/formats.h"

enum { PIECE_BYTES = 1 << 16 };

Status input_values(const InputFile *file, const char *tensor, uint64_t at, DType dtype, int64_t n,
                    float *out) {
    unsigned char piece[PIECE_BYTES];
    if (!values_to_f32(piece, dtype, 0, out)) {
        return ERROR(STATUS_DATA, "%s: tensor '%.100s' is not of a floating-point type", file->path,
                     tensor);
    }
    int64_t size = (int64_t)dtype_size(dtype), most = PIECE_BYTES / size;
    for (int64_t i = 0; i < n; i += most) {
        int64_t count = n - i < most ? n - i : most;
        TRY(input_read(file, piece, (size_t)(count * size), at + (uint64_t)(i * size)));
        values_to_f32(piece, dtype, count, out + i);
    }
    return OK;
}
