/* Products by cuBLASLt: for each shape, descriptors are built once and the fastest algorithm is
 * selected once.
 *
 * A product may have an epilogue (bias, GELU, their gradients). The candidates for a shape are the
 * algorithms that cuBLASLt suggests with the epilogue fused, and those without it, followed by a
 * separate kernel (core/cuda/epilogue.cu, core/cuda/columns.cu). All are timed and the fastest is
 * used. With autotune off, the first suggestion is used. The choice is kept on disk:
 * core/cuda/matmul_cache.h. */
#pragma once

#include "core/cuda/matmul_shape.cuh"
#include "core/op.h"

#include <cuda_runtime.h>

/* Enqueues the product. Finding the plan of a new shape takes some 50 ms and memory for a second
 * set of operands, which is impossible during a graph capture: then only the shape is recorded and
 * nothing is enqueued. */
Status matmul_run(MatmulShape shape, const MatmulOperands *operands, cudaStream_t stream);

typedef struct CudaDevice CudaDevice;

/* Finds the plans of the recorded shapes; the graph must be captured again afterwards. */
Status matmul_plans_complete(CudaDevice *device);
void matmul_plans_destroy(CudaDevice *device);
