/* The interface between core/cuda/matmul.cu, which runs plans, and core/cuda/matmul_tune.cu, which
 * finds them. */
#pragma once

#include "core/cuda/cuda_device.cuh"
#include "core/cuda/matmul_cache.h"
#include "core/cuda/matmul_shape.cuh"
#include "core/status.h"

static inline bool is_eight_bit(int32_t dtype) {
    return dtype == DTYPE_F8E4M3 || dtype == DTYPE_F8E5M2;
}

typedef struct MatmulPlan {
    MatmulShape shape;
    bool fused; /* the epilogue is part of the product */
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t a, b, out;
    cublasLtMatmulAlgo_t algo;
} MatmulPlan;

/* Descriptors for the shape, with the epilogue fused or not. */
Status matmul_plan_describe(const MatmulShape *shape, bool fused, MatmulPlan *plan);
void matmul_plan_release(MatmulPlan *plan);

/* Runs the product, and the separate kernel of the epilogue if it is not fused. */
Status matmul_plan_run(CudaDevice *device, const MatmulPlan *plan, const MatmulOperands *operands,
                       cudaStream_t stream);

/* The best plan for a shape: from the cache, from timing, or from cuBLASLt's heuristic. */
Status matmul_plan_find(CudaDevice *device, const MatmulShape *shape, MatmulPlan *out);

#define BLAS_TRY(call)                                                                             \
    do {                                                                                           \
        cublasStatus_t status_ = (call);                                                           \
        if (status_ != CUBLAS_STATUS_SUCCESS)                                                      \
            return ERROR(STATUS_FAILURE, "cuBLASLt: %s: %s", #call,                                \
                         cublasLtGetStatusString(status_));                                        \
    } while (0)
