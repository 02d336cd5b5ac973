/* The shape and the operands of a product by cuBLASLt. */
#pragma once

#include <stdint.h>

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
    int32_t b_dtype, fast; /* of eight-bit products, with MATMUL_NT: b's dtype may be another;
                              fast accumulation */
    int32_t alignment;     /* of all addresses, in bytes, at most 16; set by matmul_run */
} MatmulShape;

typedef struct MatmulOperands {
    const void *a, *b;
    void *out, *bias, *aux;
    float *parts;       /* with EPILOGUE_COLUMN_SUMS_OF_A: LINEAR_BIAS_PARTS_CUDA lines of `rows` */
    const void *addend; /* not NULL: out = scale a b + addend_scale addend. It has the shape of out,
                           may be a or b, and not out. With EPILOGUE_NONE and `accumulate` */
    float scale, addend_scale;
    const float *scale_a, *scale_b; /* on the device: factors of eight-bit operands; NULL: 1 */
} MatmulOperands;
