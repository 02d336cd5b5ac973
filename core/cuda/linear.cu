/* Bound by arithmetic. GPT-2 124M at B=64, T=1024 (65536 rows), in bf16 at the 700 TFLOP/s that
 * cuBLASLt reaches: c_attn (768 to 2304) 331 us, attn.c_proj 110 us, c_fc and mlp.c_proj (768,
 * 3072) 442 us each, and twice as long backward; the head (768 to 50304) 7.2 ms, and 14.5 ms
 * backward. 75 ms per step in total. For the savings of a fused epilogue see core/cuda/epilogue.cu
 * and core/cuda/columns.cu. */
#include "core/ops/linear.h"

#include "core/cuda/cuda_common.cuh"
#include "core/cuda/matmul.cuh"

static MatmulShape shape_of(MatmulForm form, const Tensor *factor, const Tensor *out, int64_t depth,
                            const LinearAttrs *attrs) {
    MatmulShape shape = {};
    shape.rows = tensor_rows(out), shape.columns = tensor_columns(out), shape.depth = depth,
    shape.batch = 1;
    shape.form = form;
    shape.dtype = factor->dtype, shape.out_dtype = out->dtype;
    shape.accumulate = attrs->accumulate;
    return shape;
}

extern "C" Status linear_cuda(const Node *node, void *stream) {
    const LinearAttrs *attrs = (const LinearAttrs *)node->attrs;
    const Tensor *x = node->inputs[0], *y = node->outputs[0], *bias = node->inputs[2];
    MatmulShape shape = shape_of(MATMUL_NT, x, y, tensor_columns(x), attrs);
    shape.epilogue = attrs->gelu ? EPILOGUE_GELU : bias != NULL ? EPILOGUE_BIAS : EPILOGUE_NONE;
    MatmulOperands operands = {};
    operands.a = tensor_data(x), operands.b = tensor_data(node->inputs[1]),
    operands.out = tensor_data(y);
    operands.bias = data_of<void>(bias);
    operands.aux = attrs->gelu && node->n_outputs > 1 ? data_of<void>(node->outputs[1]) : NULL;
    return matmul_run(shape, &operands, (cudaStream_t)stream);
}

extern "C" Status linear_dx_cuda(const Node *node, void *stream) {
    const LinearAttrs *attrs = (const LinearAttrs *)node->attrs;
    const Tensor *dy = node->inputs[0], *dx = node->outputs[0], *pre = node->inputs[2];
    MatmulShape shape = shape_of(MATMUL_NN, dy, dx, tensor_columns(dy), attrs);
    shape.epilogue = pre != NULL ? EPILOGUE_GELU_GRADIENT : EPILOGUE_NONE;
    MatmulOperands operands = {};
    operands.a = tensor_data(dy), operands.b = tensor_data(node->inputs[1]),
    operands.out = tensor_data(dx);
    operands.aux = data_of<void>(pre);
    return matmul_run(shape, &operands, (cudaStream_t)stream);
}

extern "C" Status linear_dw_cuda(const Node *node, void *stream) {
    const LinearAttrs *attrs = (const LinearAttrs *)node->attrs;
    const Tensor *dy = node->inputs[0], *x = node->inputs[1], *dw = node->outputs[0],
                 *db = node->outputs[1];
    TRY(need_f32(dw, "the gradient of a weight"));
    TRY(need_f32(db, "the gradient of a bias"));
    MatmulShape shape = shape_of(MATMUL_TN, dy, dw, tensor_rows(dy), attrs);
    shape.epilogue = db != NULL ? EPILOGUE_COLUMN_SUMS_OF_A : EPILOGUE_NONE;
    shape.accumulate_bias = db != NULL && attrs->accumulate_bias;
    MatmulOperands operands = {};
    operands.a = tensor_data(dy), operands.b = tensor_data(x), operands.out = tensor_data(dw);
    operands.bias = data_of<void>(db);
    operands.parts = data_of<float>(node->workspace);
    return matmul_run(shape, &operands, (cudaStream_t)stream);
}
