/* lse in base 2 and delta of the queries, at the start of the backward direction. */
#pragma once

#include "nn/attention/cuda/flash_sm90/flash_sm90.cuh"

/* At 4096 in base 2 the error of lse changes a weight by 2e-4: a tenth of the rounding to bf16. */
constexpr float LSE_LIMIT = 4096.0f * FLASH_LN2;

/* The rows' lse and delta = rowsum(dout * out): used by this pass, and stored for the pass over
 * keys. Every load starts before the first is used. Blocks have TILED_ROW_PAD rows, so that the
 * padding is written too. The weights of a row with a large lse become NaN, so that
 * flash_sm90_again.cu recomputes all rows that they affect, in both passes. */
template <typename T, int HS>
__device__ __forceinline__ void prepare_rows(const FlashParams &p, int row, int h, int b,
                                             float (&lse2)[2], float (&delta)[2]) {
    constexpr int CHUNKS = HS / 32; /* 16-byte loads by each of a row's four lanes */
    const int64_t head = (int64_t)b * p.NH + h;
    const int lane = threadIdx.x % 4;
    uint4 out[2][CHUNKS] = {}, dout[2][CHUNKS] = {};
#pragma unroll
    for (int r = 0; r < 2; r++) {
        const int i = row + 8 * r;
        const int64_t from = b * p.lo.batch + i * p.lo.token + h * p.lo.head + lane * (HS / 4);
        lse2[r] = FLASH_INF;
        if (i >= p.Tq) continue;
        const float lse = p.lse[head * p.Tq + i];
        lse2[r] = lse == -FLASH_INF        ? FLASH_INF
                  : fabsf(lse) > LSE_LIMIT ? FLASH_NAN
                                           : lse * FLASH_LOG2E;
#pragma unroll
        for (int c = 0; c < CHUNKS; c++) {
            if (lane * (HS / 4) + 8 * c >= p.HS) continue;
            out[r][c] = *(const uint4 *)((const T *)p.out + from + 8 * c);
            dout[r][c] = *(const uint4 *)((const T *)p.dout + from + 8 * c);
        }
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float sum = 0.0f;
#pragma unroll
        for (int c = 0; c < CHUNKS; c++) sum += flash_dot8<T>(out[r][c], dout[r][c]);
        delta[r] = flash_quad_sum(sum);
        if (lane != 0) continue;
        p.delta[head * p.Tq_pad + row + 8 * r] = delta[r];
        p.lse2[head * p.Tq_pad + row + 8 * r] = lse2[r];
    }
}
