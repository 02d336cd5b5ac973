/* The internals of the CUDA device that kernels and products share. One process drives one GPU. */
#pragma once

#include "core/cuda/memory.h"
#include "core/device.h"

#include <cublasLt.h>
#include <cuda_runtime.h>

constexpr int STAGING_SLOTS = 8, FETCH_SLOTS = 64;
constexpr size_t STAGING_BYTES =
    2 << 20; /* per slot: a step's tokens at B=64, T=1024 fill an eighth */
constexpr size_t MATMUL_WORKSPACE = 32 << 20; /* CUDA_WORKSPACE_BYTES */

struct MatmulPlan;

typedef struct CudaDevice {
    Device base;
    int index;
    cudaStream_t stream; /* replays, copies */
    cudaStream_t beside; /* for a kernel that can overlap a product: forks from `stream` and joins
                            it within an op */
    cudaEvent_t forked, joined;
    cudaStream_t copies; /* of the state to the host: state_copy.cu */
    cudaEvent_t copied;  /* the last of them */
    bool capturing;
    cublasLtHandle_t blas;
    void *blas_workspace;
    struct MatmulPlan *plans;
    int n_plans, plan_capacity, n_unplanned; /* unplanned: new shapes met during a capture; their
                                            products are not in the graph */
    char *staging;                           /* pinned: STAGING_SLOTS slots, then FETCH_SLOTS */
    cudaEvent_t staged[STAGING_SLOTS], fetched[FETCH_SLOTS];
    int next_staging, next_fetch;
} CudaDevice;

/* The device that is replaying, for kernels that need more than a stream. */
CudaDevice *cuda_device_current(void);
