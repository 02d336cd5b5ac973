/* Launches the memory-efficient kernels with the engines of a plan: one per pass and compiled head
 * size. */
#pragma once

#include "nn/attention/cuda/mem_efficient/mem_efficient_backward.cuh"
#include "nn/attention/cuda/mem_efficient/mem_efficient_forward.cuh"

inline dim3 efficient_grid(int64_t tokens, int rows, int heads, int B) {
    return dim3((unsigned)((tokens + rows - 1) / rows), (unsigned)heads, (unsigned)B);
}

template <typename Kernel>
void efficient_launch(Kernel kernel, dim3 grid, int threads, int bytes, const EfficientParams &p,
                      cudaStream_t stream) {
    if (bytes > 48 * 1024)
        (void)cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    kernel<<<grid, (unsigned)threads, (size_t)bytes, stream>>>(p);
}

template <typename Plan, bool DROPOUT>
void efficient_pass(EfficientPass pass, const EfficientParams &p, cudaStream_t stream) {
    using F = typename Plan::template Forward<DROPOUT>;
    using Q = typename Plan::Dq;
    using K = typename Plan::Dkdv;
    if (pass == EFFICIENT_FORWARD) {
        efficient_launch(mem_efficient_forward_kernel<F, DROPOUT>,
                         efficient_grid(p.Tq, F::ROWS, p.NH, p.B), F::THREADS,
                         efficient_forward_bytes<F>(), p, stream);
    } else {
        efficient_launch(mem_efficient_dkdv_kernel<K, DROPOUT>,
                         efficient_grid(p.Tk, K::ROWS, p.NH_kv, p.B), K::THREADS,
                         efficient_dkdv_bytes<K>(), p, stream);
        efficient_launch(mem_efficient_dq_kernel<Q, DROPOUT>,
                         efficient_grid(p.Tq, Q::ROWS, p.NH, p.B), Q::THREADS,
                         efficient_dq_bytes<Q>(), p, stream);
    }
}

/* False if a pass of the plan needs more shared memory than a block may have. */
template <typename Plan>
bool efficient_run(EfficientPass pass, const EfficientParams &p, int shared_limit,
                   cudaStream_t stream) {
    constexpr int DQ = efficient_dq_bytes<typename Plan::Dq>(),
                  DKDV = efficient_dkdv_bytes<typename Plan::Dkdv>();
    constexpr int PLAIN = efficient_forward_bytes<typename Plan::template Forward<false>>();
    constexpr int DROPPED = efficient_forward_bytes<typename Plan::template Forward<true>>();
    constexpr int FORWARD = PLAIN > DROPPED ? PLAIN : DROPPED, BACKWARD = DQ > DKDV ? DQ : DKDV;
    static_assert(FORWARD <= 99 * 1024 && BACKWARD <= 99 * 1024,
                  "what a block of any GPU from sm_80 on may have");
    if ((pass == EFFICIENT_FORWARD ? FORWARD : BACKWARD) > shared_limit) return false;
    if (p.threshold > 0)
        efficient_pass<Plan, true>(pass, p, stream);
    else
        efficient_pass<Plan, false>(pass, p, stream);
    return true;
}
