/* The tensor maps of the Hopper flash kernels. */
#include "core/cuda/sm90/tensor_map.cuh"
#include "nn/attention/cuda/flash_sm90/flash_sm90.cuh"

/* The stride of a dimension of one is unused, but must be a positive multiple of 16 bytes. */
static cuuint64_t stride_bytes(int64_t elements, int64_t extent) {
    return extent > 1 || elements > 0 ? (cuuint64_t)elements * 2 : 16;
}

Status flash_map(CUtensorMap *map, const void *pointer, const AttentionCall *call,
                 HeadLayout layout, int64_t tokens, int64_t heads, int rows) {
    const bool wide = flash_width(call->HS) % 64 == 0;
    const TensorMapShape shape = {
        call->dtype == DTYPE_BF16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                                  : CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
        4,
        {(cuuint64_t)call->HS, (cuuint64_t)tokens, (cuuint64_t)heads, (cuuint64_t)call->B},
        {stride_bytes(layout.token, tokens), stride_bytes(layout.head, heads),
         stride_bytes(layout.batch, call->B)},
        {wide ? 64u : 32u, (cuuint32_t)rows, 1, 1},
        wide ? CU_TENSOR_MAP_SWIZZLE_128B : CU_TENSOR_MAP_SWIZZLE_64B,
        CU_TENSOR_MAP_L2_PROMOTION_L2_256B};
    return tensor_map_encode(map, pointer, shape);
}

Status flash_row_map(CUtensorMap *map, const float *values, const FlashParams &p, int count) {
    const TensorMapShape shape = {CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
                                  2,
                                  {(cuuint64_t)p.Tq_pad, (cuuint64_t)p.B * (cuuint64_t)p.NH},
                                  {(cuuint64_t)p.Tq_pad * 4},
                                  {(cuuint32_t)count, 1},
                                  CU_TENSOR_MAP_SWIZZLE_NONE,
                                  CU_TENSOR_MAP_L2_PROMOTION_NONE};
    return tensor_map_encode(map, values, shape);
}

Status flash_sums_map(CUtensorMap *map, const AttentionCall *call, const FlashParams &p, int rows) {
    const size_t row_bytes = FLASH_SUM_ROW * sizeof(float);
    const TensorMapShape shape = {CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
                                  2,
                                  {FLASH_SUM_ROW, (cuuint64_t)(flash_fused_sums(call) / row_bytes)},
                                  {(cuuint64_t)row_bytes},
                                  {FLASH_SUM_ROW, (cuuint32_t)rows},
                                  CU_TENSOR_MAP_SWIZZLE_NONE,
                                  CU_TENSOR_MAP_L2_PROMOTION_NONE};
    return tensor_map_encode(map, p.dq_sums, shape);
}
