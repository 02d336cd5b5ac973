/* Memory-efficient attention in bf16 by mma.sync. */
#include "nn/attention/cuda/mem_efficient/mem_efficient_narrow.cuh"

bool mem_efficient_bf16(EfficientPass pass, const EfficientParams &p, int shared_limit,
                        cudaStream_t stream) {
    return efficient_narrow<__nv_bfloat16>(pass, p, shared_limit, stream);
}
