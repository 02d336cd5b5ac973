/* quantize: the eight-bit operands of products (core/ops/linear_f8.h), in one pass over memory.
 *
 *     v = x, gelu(x), x gelu'(pre), relu(x)^2, or 2 x relu(pre)
 *     q = float8(v / scale)   transposed = q^T   sums += column sums of v
 *
 *   x, pre, v, q (..., K)   transposed (K, rows)   sums (K) f32   scale (1) f32, a power of two
 *
 * Products read operands whose contracted dimension is contiguous: forward reads q of x and of w,
 * dx reads q of dy and the transposed w, dw reads the transposed dy and the transposed x.
 * `observed` collects for a delayed scale: [0] the greatest |v| so far, as the bits of an f32,
 * which keep a NaN; [1] the number of finite values that saturated. Rounding: core/float8.h.
 * `sums` is the gradient of a bias if v is the gradient of a layer's output. */
#pragma once

#include "core/program.h"

typedef enum QuantizeValues {
    QUANTIZE_X,
    QUANTIZE_GELU,
    QUANTIZE_GELU_GRADIENT,
    QUANTIZE_RELU2,
    QUANTIZE_RELU2_GRADIENT
} QuantizeValues;

enum { OBSERVED_LARGEST, OBSERVED_SATURATED, OBSERVED_COUNT };

enum {
    QUANTIZE_PARTS = 16, /* row parts of the column sums on the CPU */
    QUANTIZE_TILE = 128, /* rows and columns of a CUDA block */
    QUANTIZE_UNIT = 16   /* rows and columns are multiples of this number */
};

typedef struct QuantizeAttrs {
    QuantizeValues values;
    bool accumulate_sums;
} QuantizeAttrs;

/* Positions of the outputs. */
enum { QUANTIZED, QUANTIZED_TRANSPOSED, QUANTIZE_OBSERVED, QUANTIZE_SUMS, QUANTIZE_OUTPUTS };

/* inputs x, scale, pre|NULL; outputs q|NULL, transposed|NULL, observed (2) i32|NULL, sums|NULL. */
extern const Op quantize_op;

/* The operand of a layer's products: its format, scale and observation. Without `scale`, each
 * quantization computes the scale of its tensor in a pass of its own, from the greatest |x|. */
typedef struct Float8Operand {
    DType dtype;
    Tensor *scale;    /* (1) f32, of an earlier step; NULL: current */
    Tensor *observed; /* (2) i32; NULL: nothing is observed */
} Float8Operand;

/* A quantized tensor: the layouts that were asked for, and its scale. */
typedef struct Quantized {
    Tensor *q, *transposed, *scale;
} Quantized;

/* Which layouts to write, and the gradient of a bias. */
typedef struct QuantizeWants {
    bool q, transposed;
    Tensor *sums; /* NULL: none */
    bool accumulate_sums;
} QuantizeWants;

/* Why a GPU cannot run these kernels; NULL if it can: Kernel.refuses. */
const char *float8_refuses(const Node *node, const Target *target);

/* Records the quantization of x.
 *   Errors: STATUS_CONFIG if rows or columns are no multiple of QUANTIZE_UNIT. */
Quantized quantize_record(Program *p, Tensor *x, const Float8Operand *operand, QuantizeWants wants);

/* The same for a tensor that never changes after it is written: shares the result of an earlier
 * quantization of x that has the layouts. */
Quantized quantize_once(Program *p, Tensor *x, const Float8Operand *operand, QuantizeWants wants);

/* float8_transpose: transposed = q^T. inputs q; outputs transposed. */
extern const Op float8_transpose_op;
void float8_transpose_record(Program *p, Tensor *transposed, Tensor *q);

/* float8_scale: scale = the scale of x in the format, by core/float8.h; 1 if x is 0 or not finite.
 * inputs x; outputs scale (1). */
typedef struct Float8ScaleAttrs {
    DType dtype;
} Float8ScaleAttrs;
extern const Op float8_scale_op;
