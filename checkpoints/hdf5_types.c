#include "checkpoints/file_layout.h"

#include <stdio.h>

hid_t dtype_file_type(DType dtype) {
    switch (dtype) {
    case DTYPE_F32: return H5T_IEEE_F32LE;
    case DTYPE_F64: return H5T_IEEE_F64LE;
    case DTYPE_I32: return H5T_STD_I32LE;
    case DTYPE_I64: return H5T_STD_I64LE;
    case DTYPE_U16: return H5T_STD_U16LE;
    case DTYPE_U8: return H5T_STD_U8LE;
    default: return -1;
    }
}

void hdf5_begin(void) {
    H5dont_atexit();
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

static herr_t keep_reason(unsigned n, const H5E_error2_t *error, void *out) {
    (void)n;
    snprintf(out, 256, "%s", error->desc);
    return 0;
}

const char *hdf5_reason(void) {
    static _Thread_local char reason[256];
    snprintf(reason, sizeof reason, "unknown error");
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_reason, reason);
    return reason;
}
