/* The choice of the engine of mem_efficient, and the row sums at the start of backward.
 *
 * The row kernel is bound by memory: it reads out and dout once and writes 8 bytes per row. 8 lanes
 * share a row, with 16-byte loads where the tensors allow them. At B=64, NH=12, T=1024, HS=64 in 16
 * bits: 201 MB, 48 us at 4.2 TB/s. */
#include "nn/attention/cuda/mem_efficient/mem_efficient.cuh"

#include "core/cuda/cuda_common.cuh"
#include "core/cuda/cuda_device.cuh"
#include "nn/attention/attention.h"

/* The widest access, in bytes, that divides every row of every tensor. */
static int access_width(const AttentionCall *call, const AttentionArgs *args) {
    const HeadLayout layouts[] = {call->q, call->k, call->v, call->out};
    int64_t elements = call->HS;
    for (const HeadLayout &layout : layouts) elements |= layout.batch | layout.token | layout.head;
    uintptr_t bits = (uintptr_t)elements * dtype_size(call->dtype) | 16;
    for (const void *tensor :
         {args->q, args->k, args->v, (const void *)args->out, args->dout, (const void *)args->dq,
          (const void *)args->dk, (const void *)args->dv})
        bits |= (uintptr_t)tensor;
    return (int)(bits & (~bits + 1));
}

static EfficientParams params_of(const AttentionCall *call, const AttentionArgs *args) {
    EfficientParams p = {};
    p.q = args->q, p.k = args->k, p.v = args->v, p.dout = args->dout;
    p.out = args->out, p.dq = args->dq, p.dk = args->dk, p.dv = args->dv;
    p.lse = (float *)args->lse, p.stats = (float *)args->stats, p.step = args->step;
    p.lq = call->q, p.lk = call->k, p.lv = call->v, p.lo = call->out;
    p.B = (int)call->B, p.NH = (int)call->NH, p.NH_kv = (int)call->NH_kv, p.group = p.NH / p.NH_kv;
    p.Tq = (int)call->Tq, p.Tk = (int)call->Tk, p.Tq_pad = (int)tiled_padded(call->Tq),
    p.HS = (int)call->HS;
    p.causal = call->causal != CAUSAL_NONE;
    p.diagonal = call->causal == CAUSAL_LOWER_RIGHT ? (int)(call->Tk - call->Tq) : 0;
    p.window = (int)(call->window < (1 << 29) ? call->window : (1 << 29));
    flash_scales(&p, call->scale);
    p.keep_scale = (float)(1.0 / (1.0 - call->dropout));
    p.threshold = rng_threshold(call->dropout), p.stream = call->stream;
    p.keys = call->ranges ? args->key_ranges : NULL,
    p.queries = call->ranges ? args->query_ranges : NULL;
    p.width = access_width(call, args);
    return p;
}

constexpr int ROW_LANES = 8, ROW_THREADS = 256;

/* lse2 by flash_row_lse2, +inf for padding (so that its weights are 0), and delta = rowsum(dout *
 * out), 0 for padding. */
template <typename T, int W>
static __global__ void __launch_bounds__(ROW_THREADS)
    mem_efficient_rows_kernel(const EfficientParams p) {
    const int lane = threadIdx.x % ROW_LANES, h = blockIdx.y, b = blockIdx.z;
    const int i = blockIdx.x * (ROW_THREADS / ROW_LANES) + threadIdx.x / ROW_LANES;
    float sum = 0.0f;
    if (i < p.Tq) {
        const int64_t row = b * p.lo.batch + i * p.lo.token + h * p.lo.head;
        for (int d = lane * W; d < p.HS; d += ROW_LANES * W) {
            float x[W], y[W];
            load<W>((const T *)p.out + row + d, x);
            load<W>((const T *)p.dout + row + d, y);
#pragma unroll
            for (int e = 0; e < W; e++) sum += x[e] * y[e];
        }
    }
#pragma unroll
    for (int step = ROW_LANES / 2; step > 0; step /= 2)
        sum += __shfl_xor_sync(0xFFFFFFFFu, sum, step);
    if (lane != 0 || i >= p.Tq_pad) return;
    const int64_t head = (int64_t)b * p.NH + h;
    p.delta[head * p.Tq_pad + i] = sum;
    p.lse2[head * p.Tq_pad + i] = i < p.Tq ? flash_row_lse2(p, head, i) : FLASH_INF;
}

static Status rows_run(const EfficientParams &p, DType dtype, cudaStream_t stream) {
    return dispatch_real(dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        return dispatch_width<T>(p.width == 16, [&](auto width) {
            constexpr int W = decltype(width)::value;
            dim3 grid(blocks_for(p.Tq_pad, ROW_THREADS / ROW_LANES), (unsigned)p.NH, (unsigned)p.B);
            mem_efficient_rows_kernel<T, W><<<grid, ROW_THREADS, 0, stream>>>(p);
            return cuda_launched("mem_efficient_rows");
        });
    });
}

static bool tensor_cores_run(EfficientPass pass, DType dtype, const EfficientParams &p,
                             EfficientTarget target, int shared_limit, cudaStream_t stream) {
    if (dtype == DTYPE_F16) return mem_efficient_f16(pass, p, shared_limit, stream);
    if (target.sm < 80) return false;
    if (dtype == DTYPE_BF16) return mem_efficient_bf16(pass, p, shared_limit, stream);
    return target.tf32 && mem_efficient_tf32(pass, p, shared_limit, stream);
}

static Status pass_run(EfficientPass pass, DType dtype, const EfficientParams &p,
                       EfficientTarget target, cudaStream_t stream) {
    int device = 0, limit = 0;
    CUDA_TRY(cudaGetDevice(&device));
    CUDA_TRY(cudaDeviceGetAttribute(&limit, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
    if (!tensor_cores_run(pass, dtype, p, target, limit, stream))
        mem_efficient_simt(pass, dtype, p, limit, stream);
    return cuda_launched(pass == EFFICIENT_FORWARD ? "mem_efficient_forward"
                                                   : "mem_efficient_backward");
}

Status mem_efficient_forward(const AttentionCall *call, const AttentionArgs *args,
                             EfficientTarget target, void *cuda_stream) {
    return pass_run(EFFICIENT_FORWARD, call->dtype, params_of(call, args), target,
                    (cudaStream_t)cuda_stream);
}

Status mem_efficient_backward(const AttentionCall *call, const AttentionArgs *args,
                              EfficientTarget target, void *cuda_stream) {
    EfficientParams p = params_of(call, args);
    if (p.stats == NULL)
        return ERROR(STATUS_FAILURE, "mem_efficient attention: backward needs the rows' stats");
    p.lse2 = (float *)args->workspace, p.delta = p.lse2 + (size_t)p.B * p.NH * p.Tq_pad;
    TRY(rows_run(p, call->dtype, (cudaStream_t)cuda_stream));
    return pass_run(EFFICIENT_BACKWARD, call->dtype, p, target, (cudaStream_t)cuda_stream);
}

static EfficientTarget target_of_device(void) {
    const CudaDevice *device = cuda_device_current();
    return EfficientTarget{device->base.target.sm, device->base.tf32};
}

extern "C" Status mem_efficient_forward_cuda(const Node *node, void *stream) {
    AttentionArgs args = attention_forward_args(node);
    return mem_efficient_forward(attention_call(node), &args, target_of_device(), stream);
}

extern "C" Status mem_efficient_backward_cuda(const Node *node, void *stream) {
    AttentionArgs args = attention_backward_args(node);
    return mem_efficient_backward(attention_call(node), &args, target_of_device(), stream);
}
