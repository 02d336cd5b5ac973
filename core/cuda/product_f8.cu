/* Bound by arithmetic. All products of a step of GPT-2 124M at B=64, T=1024 take 43.3 ms at the
 * power limit of an H200, 1123 TFLOP/s, against 77.4 ms in bf16. cuBLASLt's eight-bit kernels need
 * the form MATMUL_NT, so operands of backward are transposed when they are quantized
 * (core/cuda/quantize.cu). */
#include "core/ops/linear_f8_gradient.h"

#include "core/cuda/cuda_common.cuh"
#include "core/cuda/matmul.cuh"

extern "C" Status product_f8_cuda(const Node *node, void *stream) {
    const ProductF8Attrs *attrs = (const ProductF8Attrs *)node->attrs;
    const Tensor *a = node->inputs[0], *b = node->inputs[1], *bias = node->inputs[4],
                 *out = node->outputs[0];
    MatmulShape shape = {};
    shape.rows = tensor_rows(a), shape.columns = tensor_rows(b), shape.depth = tensor_columns(a);
    shape.batch = 1;
    shape.form = MATMUL_NT;
    shape.epilogue = bias != NULL ? EPILOGUE_BIAS : EPILOGUE_NONE;
    shape.dtype = a->dtype, shape.b_dtype = b->dtype, shape.out_dtype = out->dtype;
    shape.accumulate = attrs->accumulate, shape.fast = attrs->fast;
    MatmulOperands operands = {};
    operands.a = tensor_data(a), operands.b = tensor_data(b), operands.out = tensor_data(out);
    operands.bias = data_of<void>(bias);
    operands.scale_a = data_of<float>(node->inputs[2]);
    operands.scale_b = data_of<float>(node->inputs[3]);
    return matmul_run(shape, &operands, (cudaStream_t)stream);
}
