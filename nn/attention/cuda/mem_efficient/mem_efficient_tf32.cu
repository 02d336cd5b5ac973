/* Memory-efficient attention of f32 tensors in tf32 by mma.sync, for HS up to 128. A row is twice
 * as long as in 16 bits, so these engines are those for twice the head size, without the split. */
#include "nn/attention/cuda/mem_efficient/mem_efficient_launch.cuh"
#include "nn/attention/cuda/mem_efficient/mem_efficient_mma.cuh"

template <int HS>
struct Tf32Plan;

template <>
struct Tf32Plan<32> {
    template <bool DROPOUT>
    using Forward = MmaEngine<float, 32, 1, 64, 2, true>;
    using Dq = MmaEngine<float, 32, 1, 32, 2, true>;
    using Dkdv = MmaEngine<float, 32, 1, 32, 2, true>;
};

template <>
struct Tf32Plan<64> {
    template <bool DROPOUT>
    using Forward = MmaEngine<float, 64, DROPOUT ? 1 : 2, 32, 2, true>;
    using Dq = MmaEngine<float, 64, 1, 64, 1, true>;
    using Dkdv = MmaEngine<float, 64, 1, 32, 1, false>;
};

template <>
struct Tf32Plan<128> {
    template <bool DROPOUT>
    using Forward = MmaEngine<float, 128, 1, 32, 1, true>;
    using Dq = MmaEngine<float, 128, 1, 32, 1, false>;
    using Dkdv = MmaEngine<float, 128, 1, 16, 1, false>;
};

bool mem_efficient_tf32(EfficientPass pass, const EfficientParams &p, int shared_limit,
                        cudaStream_t stream) {
    if (p.HS <= 32) return efficient_run<Tf32Plan<32>>(pass, p, shared_limit, stream);
    if (p.HS <= 64) return efficient_run<Tf32Plan<64>>(pass, p, shared_limit, stream);
    return p.HS <= 128 && efficient_run<Tf32Plan<128>>(pass, p, shared_limit, stream);
}
