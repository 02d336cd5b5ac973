/* The encoder lives in the driver and is looked up at run time, so the program does not link
 * against the driver and starts without one. */
#include "core/cuda/sm90/tensor_map.cuh"

#include "core/cuda/cuda_common.cuh"

typedef decltype(&cuTensorMapEncodeTiled) EncodeFn;

static EncodeFn find_encoder() {
    void *function = nullptr;
    cudaDriverEntryPointQueryResult found;
    cudaError_t error = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                                         cudaEnableDefault, &found);
    return error == cudaSuccess && found == cudaDriverEntryPointSuccess ? (EncodeFn)function
                                                                        : nullptr;
}

Status tensor_map_encode(CUtensorMap *map, const void *pointer, const TensorMapShape &s) {
    static const EncodeFn encode = find_encoder();
    static const cuuint32_t steps[4] = {1, 1, 1, 1};
    if (encode == nullptr) return ERROR(STATUS_FAILURE, "the CUDA driver offers no tensor maps");
    CUresult result = encode(map, s.type, s.dims, (void *)pointer, s.extents, s.strides, s.box,
                             steps, CU_TENSOR_MAP_INTERLEAVE_NONE, s.swizzle, s.promotion,
                             CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (result == CUDA_SUCCESS) return Status{STATUS_OK};
    return ERROR(STATUS_FAILURE, "a tensor map was refused (driver error %d)", (int)result);
}
