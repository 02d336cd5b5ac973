/* The launch parameters of flash_common.cuh, and the preprocess kernel of the backward pass.
 *
 * The kernel is bound by memory: it reads out and dout once (4 * HS bytes per row) and writes 8
 * bytes a row. HS / 8 lanes share a row with 16-byte loads. At B=64, NH=12, T=1024, HS=64: 201 MB,
 * 48 us at 4.2 TB/s. */
#include "nn/attention/cuda/common/flash_common.cuh"

static bool pointer_is_aligned(const void *pointer) { return ((uintptr_t)pointer & 15) == 0; }

static int diagonal_of(const AttentionCall *call) {
    return call->causal == CAUSAL_LOWER_RIGHT ? (int)(call->Tk - call->Tq) : 0;
}

Status flash_params(const AttentionCall *call, const AttentionArgs *args, bool backward,
                    FlashParams *out) {
    FlashParams p = {};
    p.q = args->q, p.k = args->k, p.v = args->v, p.dout = args->dout;
    p.out = args->out, p.dq = args->dq, p.dk = args->dk, p.dv = args->dv;
    p.lse = (float *)args->lse, p.stats = (float *)args->stats, p.step = args->step;
    p.key_ranges = call->ranges ? args->key_ranges : NULL,
    p.query_ranges = call->ranges ? args->query_ranges : NULL;
    p.lq = call->q, p.lk = call->k, p.lv = call->v, p.lo = call->out;
    p.B = (int)call->B, p.NH = (int)call->NH, p.NH_kv = (int)call->NH_kv, p.group = p.NH / p.NH_kv;
    p.HS = (int)call->HS, p.Tq = (int)call->Tq, p.Tk = (int)call->Tk,
    p.Tq_pad = (int)tiled_padded(call->Tq);
    p.Tk_pad = (int)tiled_padded(call->Tk);
    p.causal = call->causal != CAUSAL_NONE, p.diagonal = diagonal_of(call);
    p.window = (int)(call->window < (1 << 30) ? call->window : (1 << 30));
    flash_scales(&p, call->scale);
    p.keep_scale = (float)(1.0 / (1.0 - call->dropout));
    p.threshold = rng_threshold(call->dropout), p.stream = call->stream;
    bool aligned = pointer_is_aligned(p.q) && pointer_is_aligned(p.k) && pointer_is_aligned(p.v) &&
                   pointer_is_aligned(p.out);
    if (backward) {
        p.lse2 = (float *)args->workspace, p.delta = p.lse2 + (size_t)p.B * p.NH * p.Tq_pad;
        aligned = aligned && pointer_is_aligned(p.dq) && pointer_is_aligned(p.dk) &&
                  pointer_is_aligned(p.dv) && pointer_is_aligned(p.dout) &&
                  pointer_is_aligned(p.lse2);
    }
    if (backward && p.stats == NULL)
        return ERROR(STATUS_FAILURE, "flash attention: backward needs the rows' stats");
    if (call->ranges && (p.key_ranges == NULL || (backward && p.query_ranges == NULL)))
        return ERROR(STATUS_FAILURE, "flash attention: a call with ranges came without them");
    if (!aligned) return ERROR(STATUS_FAILURE, "flash attention: a tensor is not 16-byte aligned");
    *out = p;
    return Status{STATUS_OK};
}

/* LANES threads share a row: each sums the products of WIDTH / LANES elements. */
template <typename T, int WIDTH>
__global__ void __launch_bounds__(256) flash_rows_kernel(FlashParams p) {
    constexpr int LANES = WIDTH == 96 ? 4 : WIDTH / 8, CHUNKS = WIDTH / 8 / LANES;
    const int lane = threadIdx.x % LANES, i = blockIdx.x * (256 / LANES) + threadIdx.x / LANES;
    const int h = blockIdx.y, b = blockIdx.z;
    float sum = 0.0f;
    if (i < p.Tq) {
        const int64_t row = b * p.lo.batch + i * p.lo.token + h * p.lo.head + lane * 8;
#pragma unroll
        for (int c = 0; c < CHUNKS; c++) {
            const int64_t at = row + c * LANES * 8;
            if ((c * LANES + lane) * 8 >= p.HS) continue;
            sum += flash_dot8<T>(*(const uint4 *)((const T *)p.out + at),
                                 *(const uint4 *)((const T *)p.dout + at));
        }
    }
#pragma unroll
    for (int step = LANES / 2; step > 0; step /= 2) sum += __shfl_xor_sync(0xFFFFFFFFu, sum, step);
    if (lane != 0 || i >= p.Tq_pad) return;
    const int64_t head = (int64_t)b * p.NH + h;
    p.delta[head * p.Tq_pad + i] = sum;
    p.lse2[head * p.Tq_pad + i] = i < p.Tq ? flash_row_lse2(p, head, i) : FLASH_INF;
}

template <typename T, int WIDTH>
static void launch_rows(const FlashParams &p, cudaStream_t stream) {
    constexpr int ROWS = 256 / (WIDTH == 96 ? 4 : WIDTH / 8);
    dim3 grid((unsigned)((p.Tq_pad + ROWS - 1) / ROWS), (unsigned)p.NH, (unsigned)p.B);
    flash_rows_kernel<T, WIDTH><<<grid, 256, 0, stream>>>(p);
}

template <typename T>
static void launch_rows_of(int64_t width, const FlashParams &p, cudaStream_t stream) {
    switch (width) {
    case 32: return launch_rows<T, 32>(p, stream);
    case 64: return launch_rows<T, 64>(p, stream);
    case 96: return launch_rows<T, 96>(p, stream);
    case 128: return launch_rows<T, 128>(p, stream);
    default: return launch_rows<T, 256>(p, stream);
    }
}

Status flash_rows(const AttentionCall *call, const FlashParams &params, cudaStream_t stream) {
    if (call->dtype == DTYPE_BF16)
        launch_rows_of<__nv_bfloat16>(flash_width(call->HS), params, stream);
    else
        launch_rows_of<__half>(flash_width(call->HS), params, stream);
    return cuda_launched("flash_rows_kernel");
}
