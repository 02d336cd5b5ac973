#include "core/dtype.h"

static const struct {
    const char *name;
    size_t size;
} dtypes[DTYPE_COUNT] = {
    [DTYPE_F32] = {"f32", 4},       [DTYPE_F64] = {"f64", 8}, [DTYPE_F16] = {"f16", 2},
    [DTYPE_BF16] = {"bf16", 2},     [DTYPE_I32] = {"i32", 4}, [DTYPE_I64] = {"i64", 8},
    [DTYPE_U16] = {"u16", 2},       [DTYPE_U8] = {"u8", 1},   [DTYPE_F8E4M3] = {"f8e4m3", 1},
    [DTYPE_F8E5M2] = {"f8e5m2", 1},
};

size_t dtype_size(DType dtype) { return dtypes[dtype].size; }

DType dtype_wide(DType dtype) { return dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32; }

const char *dtype_name(DType dtype) { return dtypes[dtype].name; }
