/* Recomputation of rows for Hopper: a launch after each direction reads the marks that its warps
 * set, one per 16 rows, and recomputes the rows that contain a NaN (flash_again.cuh explains why).
 * It is a separate launch, because the mere presence of this code next to the loop over tiles slows
 * that loop by 3 to 6%; a launch without marks takes 2 us. */
#include "nn/attention/cuda/common/flash_again.cuh"
#include "nn/attention/cuda/flash_sm90/flash_sm90.cuh"

enum { THREADS = 128, MARKED = 16 };

/* Whether a row has a non-finite element; called by the whole warp. */
template <typename T>
static __device__ __forceinline__ bool is_lost(const T *row, int HS) {
    bool found = false;
    for (int d = threadIdx.x % 32; d < HS; d += 32) found |= !isfinite(to_float(row[d]));
    return __any_sync(0xFFFFFFFFu, found);
}

/* Calls look(b, head, i) for every row below `rows` of the marked 16s of (B * heads, padded / 16).
 * A warp checks 32 marks. */
template <typename Look>
static __device__ __forceinline__ void each_marked(const int *marks, int64_t count, int heads,
                                                   int padded, int rows, Look look) {
    const int64_t first = ((int64_t)blockIdx.x * THREADS + threadIdx.x) / 32 * 32,
                  at = first + threadIdx.x % 32;
    const int per_head = padded / MARKED;
    const bool exists = at < count && at % per_head * MARKED < rows;
    uint32_t found = __ballot_sync(0xFFFFFFFFu, exists && marks[at] != 0);
    for (; found != 0; found &= found - 1) {
        const int64_t mark = first + __ffs((int)found) - 1, head = mark / per_head;
        const int row = (int)(mark % per_head) * MARKED;
        for (int i = row; i < min(row + MARKED, rows); i++)
            look((int)(head / heads), (int)(head % heads), i);
    }
}

template <typename T, FlashKind KIND>
static __global__ void __launch_bounds__(THREADS)
    again_forward_kernel(const __grid_constant__ FlashParams p, int HS) {
    wait_for_last();
    each_marked(p.lost, (int64_t)p.B * p.NH * p.Tq_pad / MARKED, p.NH, p.Tq_pad, p.Tq,
                [&](int b, int h, int i) {
                    T *to = (T *)p.out + b * p.lo.batch + h * p.lo.head + i * p.lo.token;
                    int first, last;
                    if (!is_lost(to, HS)) return;
                    flash_keys_of<KIND>(p, b, i, first, last);
                    call_out<T, KIND == FLASH_DROPOUT>(p, HS, b, h, i, first, last, to);
                });
}

template <typename T, FlashKind KIND>
static __device__ __forceinline__ void again_keys(const FlashParams &p, int HS, bool of_k) {
    const int *marks = of_k ? p.lost_k : p.lost_v;
    each_marked(marks, (int64_t)p.B * p.NH_kv * p.Tk_pad / MARKED, p.NH_kv, p.Tk_pad, p.Tk,
                [&](int b, int h, int j) {
                    const HeadLayout l = of_k ? p.lk : p.lv;
                    T *to = (T *)(of_k ? p.dk : p.dv) + b * l.batch + h * l.head + j * l.token;
                    int first, last;
                    if (!is_lost(to, HS)) return;
                    flash_queries_of<KIND>(p, b, j, first, last);
                    call_dkdv<T, KIND == FLASH_DROPOUT>(p, HS, b, h, j, first, last, of_k, to, 0,
                                                        HS);
                });
}

/* blockIdx.y: dq, dk or dv. */
template <typename T, FlashKind KIND>
static __global__ void __launch_bounds__(THREADS)
    again_backward_kernel(const __grid_constant__ FlashParams p, int HS) {
    wait_for_last();
    if (blockIdx.y > 0) return again_keys<T, KIND>(p, HS, blockIdx.y == 1);
    each_marked(p.lost, (int64_t)p.B * p.NH * p.Tq_pad / MARKED, p.NH, p.Tq_pad, p.Tq,
                [&](int b, int h, int i) {
                    T *to = (T *)p.dq + b * p.lq.batch + h * p.lq.head + i * p.lq.token;
                    int first, last;
                    if (!is_lost(to, HS)) return;
                    flash_keys_of<KIND>(p, b, i, first, last);
                    call_dq<T, KIND == FLASH_DROPOUT>(p, HS, b, h, i, first, last, to);
                });
}

template <typename Kernel>
static Status launch_after(Kernel kernel, dim3 grid, const FlashParams &p, int64_t HS,
                           cudaStream_t stream) {
    return launch_dependent("flash_sm90_again", kernel, grid, dim3(THREADS), 0, stream, p, (int)HS);
}

static unsigned blocks_of(size_t flags) {
    return (unsigned)((flags / sizeof(int) + THREADS - 1) / THREADS);
}

Status flash_sm90_again_forward(const AttentionCall *call, const FlashParams &params,
                                cudaStream_t stream) {
    return flash_dispatch(call, [&](auto variant) {
        using V = decltype(variant);
        return launch_after(again_forward_kernel<typename V::Type, V::kind>,
                            dim3(blocks_of(flash_flags_of_queries(call))), params, call->HS,
                            stream);
    });
}

Status flash_sm90_again_backward(const AttentionCall *call, const FlashParams &params,
                                 cudaStream_t stream) {
    const size_t most = std::max(flash_flags_of_queries(call), flash_flags_of_keys(call));
    return flash_dispatch(call, [&](auto variant) {
        using V = decltype(variant);
        return launch_after(again_backward_kernel<typename V::Type, V::kind>,
                            dim3(blocks_of(most), 3), params, call->HS, stream);
    });
}
