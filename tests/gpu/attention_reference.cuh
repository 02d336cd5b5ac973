/* A naive implementation of attention in f64, the reference of test_attention_kernels.cu. If
 * `rounded` is the dtype of the call, it rounds after every step, like a composition of separate
 * 16-bit ops: the bar. */
#pragma once

#include "core/rng.h"
#include "nn/attention/sdpa.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

__device__ double round_to(double x, int dtype) {
    if (dtype == DTYPE_BF16) return (double)__bfloat162float(__float2bfloat16((float)x));
    if (dtype == DTYPE_F16) return (double)__half2float(__float2half((float)x));
    return x;
}
__device__ double element(const void *base, int64_t at, int dtype) {
    return dtype == DTYPE_BF16 ? (double)__bfloat162float(((const __nv_bfloat16 *)base)[at])
                               : (double)__half2float(((const __half *)base)[at]);
}
__device__ bool allowed(const AttentionCall &c, const AttentionArgs &a, int64_t b, int64_t i,
                        int64_t j) {
    if (c.ranges && (j < a.key_ranges[b * c.Tq + i] || j >= a.key_ranges[(c.B + b) * c.Tq + i]))
        return false;
    if (c.causal == CAUSAL_NONE) return true;
    const int64_t d = c.causal == CAUSAL_LOWER_RIGHT ? i + c.Tk - c.Tq : i;
    return j <= d && (c.window == 0 || j > d - c.window);
}
__device__ double keep_factor(const AttentionCall &c, const StepState *step, int64_t b, int64_t h,
                              int64_t i, int64_t j) {
    if (c.dropout == 0.0) return 1.0;
    const uint64_t index = ((uint64_t)(step->first_sample + b) * c.NH + h) * c.Tq * c.Tk +
                           (uint64_t)i * c.Tk + (uint64_t)j;
    const Philox draw = philox(step->seed, index / 4, rng_counter(step->step, c.stream));
    return draw.word[index % 4] >= rng_threshold(c.dropout) ? 1.0 / (1.0 - c.dropout) : 0.0;
}

struct Reference {
    double *p, *ds;             /* (B, NH, Tq, Tk) */
    double *out, *dq, *dk, *dv; /* (B, T, heads, HS) */
    double *lse;
};

/* Sum over a block of 128 threads. */
__device__ double block_sum(double x) {
    __shared__ double parts[4];
    for (int s = 16; s > 0; s /= 2) x += __shfl_xor_sync(~0u, x, s);
    __syncthreads();
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
    __syncthreads();
    return parts[0] + parts[1] + parts[2] + parts[3];
}

/* One block per query row: weights (before dropout), output, then the gradient of the scores.
 * rounded: the dtype to round to after every step, or DTYPE_F64. */
__global__ void reference_rows(AttentionCall c, AttentionArgs a, Reference r, int rounded,
                               bool backward) {
    const int64_t i = blockIdx.x, h = blockIdx.y, b = blockIdx.z, hk = h / (c.NH / c.NH_kv),
                  C = c.NH * c.HS;
    double *p = r.p + ((b * c.NH + h) * c.Tq + i) * c.Tk,
           *ds = r.ds + ((b * c.NH + h) * c.Tq + i) * c.Tk;
    const int64_t q = b * c.q.batch + i * c.q.token + h * c.q.head,
                  k = b * c.k.batch + hk * c.k.head;
    const int64_t v = b * c.v.batch + hk * c.v.head,
                  o = b * c.out.batch + i * c.out.token + h * c.out.head;
    double sum = 0.0, maximum = -INFINITY;
    for (int64_t j = threadIdx.x; j < c.Tk; j += 128) {
        double s = 0.0;
        for (int64_t d = 0; d < c.HS; d++)
            s += element(a.q, q + d, c.dtype) * element(a.k, k + j * c.k.token + d, c.dtype);
        p[j] = allowed(c, a, b, i, j) ? round_to(s * (double)c.scale, rounded) : -INFINITY;
    }
    __syncthreads();
    for (int64_t j = 0; j < c.Tk; j++) maximum = fmax(maximum, p[j]);
    for (int64_t j = threadIdx.x; j < c.Tk; j += 128)
        sum += p[j] == -INFINITY ? 0.0 : exp(p[j] - maximum);
    sum = block_sum(sum);
    __syncthreads();
    for (int64_t j = threadIdx.x; j < c.Tk; j += 128)
        p[j] = p[j] == -INFINITY ? 0.0 : round_to(exp(p[j] - maximum) / sum, rounded);
    __syncthreads();
    if (threadIdx.x == 0)
        r.lse[(b * c.NH + h) * c.Tq + i] = sum == 0.0 ? -INFINITY : maximum + log(sum);
    double *out = r.out + (b * c.Tq + i) * C + h * c.HS, *dq = r.dq + (b * c.Tq + i) * C + h * c.HS;
    for (int64_t d = threadIdx.x; d < c.HS; d += 128) {
        double x = 0.0;
        for (int64_t j = 0; j < c.Tk; j++)
            if (p[j] != 0.0)
                x += round_to(p[j] * keep_factor(c, a.step, b, h, i, j), rounded) *
                     element(a.v, v + j * c.v.token + d, c.dtype);
        out[d] = round_to(x, rounded);
    }
    if (!backward) return;
    double delta = 0.0;
    for (int64_t j = threadIdx.x; j < c.Tk; j += 128) {
        double dp = 0.0;
        for (int64_t d = 0; d < c.HS; d++)
            dp += element(a.dout, o + d, c.dtype) * element(a.v, v + j * c.v.token + d, c.dtype);
        ds[j] = round_to(round_to(dp, rounded) * keep_factor(c, a.step, b, h, i, j), rounded);
        delta += ds[j] * p[j];
    }
    delta = block_sum(delta);
    for (int64_t j = threadIdx.x; j < c.Tk; j += 128)
        ds[j] = round_to(p[j] * (ds[j] - delta), rounded);
    __syncthreads();
    for (int64_t d = threadIdx.x; d < c.HS; d += 128) {
        double x = 0.0;
        for (int64_t j = 0; j < c.Tk; j++)
            x += ds[j] * element(a.k, k + j * c.k.token + d, c.dtype);
        dq[d] = round_to(x * (double)c.scale, rounded);
    }
}

/* One block per key row. */
__global__ void reference_keys(AttentionCall c, AttentionArgs a, Reference r, int rounded) {
    const int64_t j = blockIdx.x, hk = blockIdx.y, b = blockIdx.z, group = c.NH / c.NH_kv;
    for (int64_t d = threadIdx.x; d < c.HS; d += 128) {
        double dk = 0.0, dv = 0.0;
        for (int64_t h = hk * group; h < (hk + 1) * group; h++)
            for (int64_t i = 0; i < c.Tq; i++) {
                const int64_t at = ((b * c.NH + h) * c.Tq + i) * c.Tk + j;
                if (r.p[at] == 0.0) continue;
                dk += r.ds[at] *
                      element(a.q, b * c.q.batch + i * c.q.token + h * c.q.head + d, c.dtype);
                dv += round_to(r.p[at] * keep_factor(c, a.step, b, h, i, j), rounded) *
                      element(a.dout, b * c.out.batch + i * c.out.token + h * c.out.head + d,
                              c.dtype);
            }
        const int64_t at = (b * c.Tk + j) * c.NH_kv * c.HS + hk * c.HS + d;
        r.dk[at] = round_to(dk * (double)c.scale, rounded), r.dv[at] = round_to(dv, rounded);
    }
}
