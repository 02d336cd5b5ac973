/* Direct calls of the kernels, and their cases with tensors on the device. */
#pragma once

#include "core/rng.h"
#include "nn/attention/backend.h"
#include "nn/attention/cuda/common/flash_cuda.h"
#include "tests/gpu/attention_cases.cuh"
#include "tests/gpu/attention_ranges.cuh"
#include "tests/gpu/cuda_check.cuh"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static int gpu_sm() {
    int major = 0, minor = 0;
    CUDA(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0));
    CUDA(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0));
    return 10 * major + minor;
}

extern "C" const AttentionBackend attention_flash_sm80, attention_flash_sm90;

struct Family {
    const char *name;
    const AttentionBackend *backend;
    Status (*forward)(const AttentionCall *, const AttentionArgs *, void *);
    Status (*backward)(const AttentionCall *, const AttentionArgs *, void *);
};
static const Family FAMILIES[] = {
    {"sm80", &attention_flash_sm80, flash_sm80_forward, flash_sm80_backward},
    {"sm90", &attention_flash_sm90, flash_sm90_forward, flash_sm90_backward},
};

static Target gpu_target() { return {DEVICE_CUDA, 0, gpu_sm(), 0}; }

static bool is_refused(const Family &f, const AttentionCall &call) {
    const Target target = gpu_target();
    return attention_refusal(f.backend, &call, &target) != NULL;
}

static size_t workspace_of(const Kernel &kernel, const AttentionCall &call) {
    const Target target = gpu_target();
    AttentionAttrs attrs = {};
    Node node = {};
    attrs.call = call;
    node.attrs = &attrs, node.dtype = call.dtype;
    return kernel.workspace == NULL ? 0 : kernel.workspace(&node, &target);
}

__global__ void fill_normal(void *data, int64_t count, int dtype, uint64_t seed, float magnitude) {
    for (int64_t at = blockIdx.x * 256ll + threadIdx.x; at < count; at += gridDim.x * 256ll) {
        const Philox w = philox(seed, (uint64_t)at, 7);
        const float x = sqrtf(-2.0f * logf(rng_uniform(w.word[0]) + 1e-7f)) *
                        cosf(6.2831853f * rng_uniform(w.word[1])) * magnitude;
        if (dtype == DTYPE_BF16)
            ((__nv_bfloat16 *)data)[at] = __float2bfloat16(x);
        else
            ((__half *)data)[at] = __float2half(x);
    }
}

/* ---- cases ----------------------------------------------------------------------------------- */

/* A case with its tensors on the device, packed (B, T, 3C) if the shapes allow it. */
struct Problem {
    AttentionCall call;
    AttentionArgs args;
    char *inputs, *gradients, *workspace;
    size_t inputs_bytes, gradients_bytes, out_bytes, workspace_bytes;
    StepState *step;
    int32_t *ranges; /* key_ranges, then query_ranges */
};

static int32_t *upload_ranges(const Case &c) {
    if (c.ranges == NO_RANGES) return NULL;
    const Ranges r = ranges_of(c);
    int32_t *device;
    CUDA(cudaMalloc(&device, 4 * (r.keys.size() + r.queries.size())));
    CUDA(cudaMemcpy(device, r.keys.data(), 4 * r.keys.size(), cudaMemcpyHostToDevice));
    CUDA(cudaMemcpy(device + r.keys.size(), r.queries.data(), 4 * r.queries.size(),
                    cudaMemcpyHostToDevice));
    return device;
}

static int64_t at_bytes(int64_t elements) { return (elements * 2 + 255) / 256 * 256; }

static Problem problem_create(const Case &c, DType dtype, const Family &family, uint64_t seed) {
    Problem p = {};
    AttentionCall &k = p.call;
    k = {c.B,
         c.NH,
         c.NH_kv,
         c.Tq,
         c.Tk,
         c.HS,
         dtype,
         1.0f / sqrtf((float)c.HS),
         c.causal,
         c.window,
         c.ranges != NO_RANGES,
         BIAS_NONE,
         c.dropout,
         5,
         true};
    const int64_t C = c.NH * c.HS, Ckv = c.NH_kv * c.HS;
    const bool packed = c.Tq == c.Tk && c.NH == c.NH_kv;
    int64_t offset_k, offset_v, total;
    if (packed) {
        k.q = k.k = k.v = {c.Tq * 3 * C, 3 * C, c.HS};
        offset_k = C * 2, offset_v = 2 * C * 2, total = at_bytes(c.B * c.Tq * 3 * C);
    } else {
        k.q = {c.Tq * C, C, c.HS}, k.k = {c.Tk * Ckv, Ckv, c.HS},
        k.v = {c.Tk * Ckv, c.HS, c.Tk * c.HS};
        offset_k = at_bytes(c.B * c.Tq * C), offset_v = offset_k + at_bytes(c.B * c.Tk * Ckv);
        total = offset_v + at_bytes(c.B * c.Tk * Ckv);
    }
    k.out = {c.Tq * C, C, c.HS};
    const int64_t out_bytes = at_bytes(c.B * c.Tq * C);
    p.inputs_bytes = (size_t)(total + out_bytes), p.gradients_bytes = (size_t)total;
    p.out_bytes = (size_t)(out_bytes + 3 * c.B * c.NH * c.Tq * 4);
    p.workspace_bytes = std::max(workspace_of(family.backend->forward, k),
                                 workspace_of(family.backend->backward, k)) +
                        256;
    CUDA(cudaMalloc(&p.inputs, p.inputs_bytes + p.gradients_bytes + p.out_bytes + 512));
    CUDA(cudaMalloc(&p.workspace, p.workspace_bytes));
    CUDA(cudaMalloc(&p.step, sizeof(StepState)));
    const StepState step = {seed * 77 + 1, 3, 2, 4, 0.0f, 1.0f};
    CUDA(cudaMemcpy(p.step, &step, sizeof step, cudaMemcpyHostToDevice));
    fill_normal<<<1024, 256>>>(p.inputs, (int64_t)p.inputs_bytes / 2, dtype, seed,
                               seed % 3 == 2 ? 3.0f : 1.0f);
    p.gradients = p.inputs + p.inputs_bytes;
    char *out = p.gradients + p.gradients_bytes;
    p.ranges = upload_ranges(c);
    AttentionArgs &a = p.args;
    a.q = p.inputs, a.k = p.inputs + offset_k, a.v = p.inputs + offset_v, a.dout = p.inputs + total;
    a.dq = p.gradients, a.dk = p.gradients + offset_k, a.dv = p.gradients + offset_v;
    a.out = out, a.lse = out + out_bytes, a.stats = out + out_bytes + c.B * c.NH * c.Tq * 4,
    a.workspace = p.workspace, a.step = p.step;
    if (p.ranges != NULL) a.key_ranges = p.ranges, a.query_ranges = p.ranges + 2 * c.B * c.Tq;
    return p;
}

static void problem_destroy(Problem &p) {
    CUDA(cudaFree(p.inputs));
    CUDA(cudaFree(p.workspace));
    CUDA(cudaFree(p.step));
    CUDA(cudaFree(p.ranges));
}

static void poison(const Problem &p) {
    CUDA(cudaMemset(p.gradients, 0xFF, p.gradients_bytes + p.out_bytes));
    CUDA(cudaMemset(p.workspace, 0xFF, p.workspace_bytes));
}
