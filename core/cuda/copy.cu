/* Bound by memory: x is read, out is written (and read first with accumulate); 48 us for (65536,
 * 768) in bf16 at 4.2 TB/s. */
#include "core/cuda/cuda_common.cuh"
#include "core/ops/flags.h"

enum { THREADS = 256 };

template <typename To, typename From, int W>
static __global__ void __launch_bounds__(THREADS)
    copy_kernel(To *out, const From *x, int64_t count, bool accumulate) {
    int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * W;
    if (i >= count) return;
    float value[W];
    load<W>(x + i, value);
    if (accumulate) {
        float old[W];
        load<W>(out + i, old);
#pragma unroll
        for (int k = 0; k < W; k++) value[k] += old[k];
    }
    store<W>(out + i, value);
}

/* A float that is only copied keeps all 32 bits. */
static DType moved_as(DType dtype) { return dtype == DTYPE_I32 ? DTYPE_F32 : dtype; }

extern "C" Status copy_cuda(const Node *node, void *stream) {
    const AccumulateAttrs *attrs = (const AccumulateAttrs *)node->attrs;
    const Tensor *out = node->outputs[0], *x = node->inputs[0];
    int64_t count = tensor_count(out);
    if (count == 0) return Status{STATUS_OK};
    return dispatch_real(moved_as(out->dtype), [&](auto to) {
        using To = typename decltype(to)::type;
        return dispatch_real(moved_as(x->dtype), [&](auto from) {
            using From = typename decltype(from)::type;
            using Narrow = std::conditional_t<sizeof(From) < sizeof(To), From, To>;
            bool vector = fits_packs<Narrow>(count, tensor_data(out), tensor_data(x));
            return dispatch_width<Narrow>(vector, [&](auto width) {
                constexpr int W = decltype(width)::value;
                copy_kernel<To, From, W>
                    <<<blocks_for(count, THREADS * W), THREADS, 0, (cudaStream_t)stream>>>(
                        data_of<To>(out), data_of<From>(x), count, attrs->accumulate);
                return cuda_launched("copy");
            });
        });
    });
}
