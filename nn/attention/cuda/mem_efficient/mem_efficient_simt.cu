/* Memory-efficient attention in true f32: of f32 tensors on every GPU, and of 16-bit tensors on
 * GPUs whose tensor cores do not support them. Tiles fit into 48 KB, so they shrink as HS grows: 44
 * KB forward and 43 backward at HS 64. From HS 128 on f32 has larger tiles, up to 72 KB, for GPUs
 * with that much shared memory. */
#include "nn/attention/cuda/mem_efficient/mem_efficient_launch.cuh"
#include "nn/attention/cuda/mem_efficient/mem_efficient_simt.cuh"

template <typename T, int HS, int FORWARD_R, int FORWARD_C, int BACKWARD_R, int BACKWARD_C>
struct SimtPlan {
    template <bool DROPOUT>
    using Forward = SimtEngine<T, HS, FORWARD_R, FORWARD_C>;
    using Dq = SimtEngine<T, HS, BACKWARD_R, BACKWARD_C>;
    using Dkdv = Dq;
};

template <typename T>
static bool run(EfficientPass pass, const EfficientParams &p, int shared_limit,
                cudaStream_t stream) {
    constexpr int LEAST = 48 * 1024;
    if (p.HS <= 32) return efficient_run<SimtPlan<T, 32, 8, 4, 8, 4>>(pass, p, LEAST, stream);
    if (p.HS <= 64) return efficient_run<SimtPlan<T, 64, 8, 4, 4, 4>>(pass, p, LEAST, stream);
    if constexpr (sizeof(T) == 4) {
        if (p.HS <= 128 &&
            efficient_run<SimtPlan<T, 128, 4, 4, 4, 4>>(pass, p, shared_limit, stream))
            return true;
        if (p.HS > 128 &&
            efficient_run<SimtPlan<T, 256, 2, 2, 2, 2>>(pass, p, shared_limit, stream))
            return true;
    }
    if (p.HS <= 128) return efficient_run<SimtPlan<T, 128, 4, 2, 2, 2>>(pass, p, LEAST, stream);
    return efficient_run<SimtPlan<T, 256, 2, 1, 1, 1>>(pass, p, LEAST, stream);
}

void mem_efficient_simt(EfficientPass pass, DType dtype, const EfficientParams &p, int shared_limit,
                        cudaStream_t stream) {
    if (dtype == DTYPE_F32)
        (void)run<float>(pass, p, shared_limit, stream);
    else if (dtype == DTYPE_F16)
        (void)run<__half>(pass, p, shared_limit, stream);
    else
        (void)run<__nv_bfloat16>(pass, p, shared_limit, stream);
}
