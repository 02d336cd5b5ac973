/* Shared by the forward and backward kernels of layernorm and rmsnorm: the forms that a kernel is
 * compiled for, and the number of packs of a row that a lane keeps in registers. */
#pragma once

#include "core/cuda/cuda_common.cuh"
#include "core/ops/norm.h"

/* Centered: layernorm, else rmsnorm. Weighted: with gamma. */
template <bool CENTERED, bool WEIGHTED>
struct NormForm {
    static constexpr bool centered = CENTERED, weighted = WEIGHTED;
    static constexpr int lines = WEIGHTED ? 1 + CENTERED : 0; /* of partial sums: gamma, beta */
};

/* f(NormForm) of these options. */
template <typename F>
Status norm_form(NormKind kind, bool weighted, F f) {
    if (kind == NORM_LAYER)
        return weighted ? f(NormForm<true, true>{}) : f(NormForm<true, false>{});
    return weighted ? f(NormForm<false, true>{}) : f(NormForm<false, false>{});
}

/* A pack of gamma from column j on; 1 without weights. */
template <typename Form, typename T, int W>
static __device__ __forceinline__ void load_gamma(const T *gamma, int64_t j, float (&factor)[W]) {
    if constexpr (Form::weighted) {
        load<W>(gamma + j, factor);
    } else {
#pragma unroll
        for (int k = 0; k < W; k++) factor[k] = 1.0f;
    }
}

/* f(Int<PACKS>) with enough packs for a row of C elements, one warp per row; Int<0> if the row is
 * too long, or not a multiple of the pack size. */
template <int W, typename F>
Status norm_packs(int64_t C, F f) {
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
