/* Tensor maps for the Hopper kernels. The encoder lives in the driver and is looked up at run time,
 * so the program does not link against the driver and starts without one. Encoding takes about a
 * microsecond on the host. */
#include "nn/attention/cuda/flash_sm90/flash_sm90.cuh"

typedef decltype(&cuTensorMapEncodeTiled) EncodeFn;

static EncodeFn find_encoder() {
    void *function = nullptr;
    cudaDriverEntryPointQueryResult found;
    cudaError_t error = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                                         cudaEnableDefault, &found);
    return error == cudaSuccess && found == cudaDriverEntryPointSuccess ? (EncodeFn)function
                                                                        : nullptr;
}

/* The description of a tensor map: dims[0] is the fastest; strides, in bytes, are those of the
 * others. */
struct MapShape {
    CUtensorMapDataType type;
    cuuint32_t dims;
    cuuint64_t extents[4], strides[3];
    cuuint32_t box[4];
    CUtensorMapSwizzle swizzle;
    CUtensorMapL2promotion promotion;
};

static Status encode_map(CUtensorMap *map, const void *pointer, const MapShape &s) {
    static const EncodeFn encode = find_encoder();
    static const cuuint32_t steps[4] = {1, 1, 1, 1};
    if (encode == nullptr)
        return ERROR(STATUS_FAILURE, "flash attention: the CUDA driver offers no tensor maps");
    CUresult result = encode(map, s.type, s.dims, (void *)pointer, s.extents, s.strides, s.box,
                             steps, CU_TENSOR_MAP_INTERLEAVE_NONE, s.swizzle, s.promotion,
                             CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (result == CUDA_SUCCESS) return Status{STATUS_OK};
    return ERROR(STATUS_FAILURE, "flash attention: a tensor map was refused (driver error %d)",
                 (int)result);
}

/* The stride of a dimension of one is unused, but must be a positive multiple of 16 bytes. */
static cuuint64_t stride_bytes(int64_t elements, int64_t extent) {
    return extent > 1 || elements > 0 ? (cuuint64_t)elements * 2 : 16;
}

Status flash_map(CUtensorMap *map, const void *pointer, const AttentionCall *call,
                 HeadLayout layout, int64_t tokens, int64_t heads, int rows) {
    const bool wide = flash_width(call->HS) % 64 == 0;
    const MapShape shape = {
        call->dtype == DTYPE_BF16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                                  : CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
        4,
        {(cuuint64_t)call->HS, (cuuint64_t)tokens, (cuuint64_t)heads, (cuuint64_t)call->B},
        {stride_bytes(layout.token, tokens), stride_bytes(layout.head, heads),
         stride_bytes(layout.batch, call->B)},
        {wide ? 64u : 32u, (cuuint32_t)rows, 1, 1},
        wide ? CU_TENSOR_MAP_SWIZZLE_128B : CU_TENSOR_MAP_SWIZZLE_64B,
        CU_TENSOR_MAP_L2_PROMOTION_L2_256B};
    return encode_map(map, pointer, shape);
}

Status flash_row_map(CUtensorMap *map, const float *values, const FlashParams &p, int count) {
    const MapShape shape = {CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
                            2,
                            {(cuuint64_t)p.Tq_pad, (cuuint64_t)p.B * (cuuint64_t)p.NH},
                            {(cuuint64_t)p.Tq_pad * 4},
                            {(cuuint32_t)count, 1},
                            CU_TENSOR_MAP_SWIZZLE_NONE,
                            CU_TENSOR_MAP_L2_PROMOTION_NONE};
    return encode_map(map, values, shape);
}
