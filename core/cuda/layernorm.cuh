/* Shared by layernorm forward and backward: the number of packs of a row that a lane keeps in
 * registers. */
#pragma once

#include "core/cuda/cuda_common.cuh"
#include "core/ops/layernorm.h"

/* f(Int<PACKS>) with enough packs for a row of C elements, one warp per row; Int<0> if the row is
 * too long, or not a multiple of the pack size. */
template <int W, typename F>
Status layernorm_packs(int64_t C, F f) {
    int64_t packs = (C + 32 * W - 1) / (32 * W);
    if constexpr (W > 1) {
        if (packs <= 1) return f(Int<1>{});
        if (packs <= 2) return f(Int<2>{});
        if (packs <= 3) return f(Int<3>{});
        if (packs <= 4) return f(Int<4>{});
        if (packs <= 6) return f(Int<6>{});
        if (packs <= 8) return f(Int<8>{});
    }
    return f(Int<0>{});
}
