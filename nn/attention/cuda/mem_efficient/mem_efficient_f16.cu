/* Memory-efficient attention in f16 by mma.sync. */
#include "nn/attention/cuda/mem_efficient/mem_efficient_narrow.cuh"

bool mem_efficient_f16(EfficientPass pass, const EfficientParams &p, int shared_limit,
                       cudaStream_t stream) {
    return efficient_narrow<__half>(pass, p, shared_limit, stream);
}
