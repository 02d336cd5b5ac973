/* The engines of the 16-bit types by head size, the fastest of those measured on an H200:
 * docs/results/cuda_attention.md.
 *
 * Up to HS 64 left operands stay in fragments. Above, the sums fill the registers, one stage of 64
 * rows allows more blocks per multiprocessor, and forward gives each warp 32 rows, which halves its
 * reads of K and V (except with dropout, whose random numbers also take registers). At HS 256 tiles
 * are small, and eight warps work in pairs in dkdv, each with half of the columns. */
#pragma once

#include "nn/attention/cuda/mem_efficient/mem_efficient_launch.cuh"
#include "nn/attention/cuda/mem_efficient/mem_efficient_mma.cuh"

template <typename T, int HS>
struct NarrowPlan { /* 96, 128 */
    template <bool DROPOUT>
    using Forward = MmaEngine<T, HS, DROPOUT ? 1 : 2, 64, 1, false>;
    using Dq = MmaEngine<T, HS, 1, 64, 1, false>;
    using Dkdv = MmaEngine<T, HS, 1, 64, 1, false>;
};

template <typename T>
struct NarrowPlan<T, 32> {
    template <bool DROPOUT>
    using Forward = MmaEngine<T, 32, 1, 64, 2, true>;
    using Dq = MmaEngine<T, 32, 2, 64, 2, true>;
    using Dkdv = MmaEngine<T, 32, 1, 64, 2, true>;
};

template <typename T>
struct NarrowPlan<T, 64> {
    template <bool DROPOUT>
    using Forward = MmaEngine<T, 64, 1, 64, 2, true>;
    using Dq = MmaEngine<T, 64, 1, 64, 2, true>;
    using Dkdv = MmaEngine<T, 64, 1, 64, 2, true>;
};

template <typename T>
struct NarrowPlan<T, 256> {
    template <bool DROPOUT>
    using Forward = MmaEngine<T, 256, 1, 32, 1, false>;
    using Dq = MmaEngine<T, 256, 1, 32, 1, false>;
    using Dkdv = MmaEngine<T, 256, 1, 16, 1, false, 2>;
};

template <typename T>
bool efficient_narrow(EfficientPass pass, const EfficientParams &p, int shared_limit,
                      cudaStream_t stream) {
    if (p.HS <= 32) return efficient_run<NarrowPlan<T, 32>>(pass, p, shared_limit, stream);
    if (p.HS <= 64) return efficient_run<NarrowPlan<T, 64>>(pass, p, shared_limit, stream);
    if (p.HS <= 96) return efficient_run<NarrowPlan<T, 96>>(pass, p, shared_limit, stream);
    if (p.HS <= 128) return efficient_run<NarrowPlan<T, 128>>(pass, p, shared_limit, stream);
    return efficient_run<NarrowPlan<T, 256>>(pass, p, shared_limit, stream);
}
