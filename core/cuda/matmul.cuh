/* Products by cuBLASLt: for each shape, descriptors are built once and the fastest algorithm is
 * selected once.
 *
 * A product may have an epilogue (bias, GELU, their gradients). The candidates for a shape are the
 * algorithms that cuBLASLt suggests with the epilogue fused, and those without it, followed by a
 * separate kernel (core/cuda/epilogue.cu, core/cuda/columns.cu). All are timed and the fastest is
 * used. With autotune off, the first suggestion is used. The choice is kept on disk:
 * core/cuda/matmul_cache.h. */
#pragma once

#include "core/op.h"

#include <cuda_runtime.h>

/* out (rows, columns), row-major, with f32 sums over `depth`. */
typedef enum MatmulForm {
    MATMUL_NT, /* a (rows, depth)  b (columns, depth)   out = a b^T */
    MATMUL_NN, /* a (rows, depth)  b (depth, columns)   out = a b */
    MATMUL_TN, /* a (depth, rows)  b (depth, columns)   out = a^T b */
} MatmulForm;

typedef enum MatmulEpilogue {
    EPILOGUE_NONE,
    EPILOGUE_BIAS, /* out += bias (columns) */
    EPILOGUE_GELU, /* out = gelu(out + bias); aux, if given, keeps the argument; bias or NULL */
    EPILOGUE_GELU_GRADIENT,   /* out *= gelu'(aux) */
    EPILOGUE_COLUMN_SUMS_OF_A /* bias (rows), of f32, = the sums of a's columns; for MATMUL_TN */
} MatmulEpilogue;

/* Everything that determines a plan; compared by memcmp, so it has no padding. */
typedef struct MatmulShape {
    int64_t rows, columns, depth, batch; /* the matrices of the batch are contiguous */
    int32_t form, epilogue;
    int32_t dtype, out_dtype;
    int32_t accumulate;      /* out += */
    int32_t accumulate_bias; /* with EPILOGUE_COLUMN_SUMS_OF_A: bias += */
    int32_t has_bias, has_aux;
    int32_t tf32;
    int32_t
        alignment; /* common alignment of all addresses in bytes, at most 16; set by matmul_run */
} MatmulShape;

typedef struct MatmulOperands {
    const void *a, *b;
    void *out, *bias, *aux;
    float *parts; /* with EPILOGUE_COLUMN_SUMS_OF_A: LINEAR_BIAS_PARTS_CUDA lines of `rows` */
} MatmulOperands;

/* Enqueues the product. Finding the plan of a new shape takes some 50 ms and memory for a second
 * set of operands, which is impossible during a graph capture: then only the shape is recorded and
 * nothing is enqueued. */
Status matmul_run(MatmulShape shape, const MatmulOperands *operands, cudaStream_t stream);

typedef struct CudaDevice CudaDevice;

/* Finds the plans of the recorded shapes; the graph must be captured again afterwards. */
Status matmul_plans_complete(CudaDevice *device);
void matmul_plans_destroy(CudaDevice *device);
