/* mem_efficient's row on CUDA. */
#include "nn/attention/backend.h"
#include "nn/attention/cuda/common/tiled.h"

DECLARE_KERNELS(mem_efficient_forward);
DECLARE_KERNELS(mem_efficient_backward);

static const char *refuses(const Node *node, const Target *target) {
    const AttentionCall *call = attention_call(node);
    if (target->sm < 75) return "needs sm_75 or later";
    if (call->HS < 1 || call->HS > 256) return "needs HS up to 256";
    return tiled_refuses(call);
}

static size_t backward_workspace(const Node *node, const Target *target) {
    (void)target;
    return tiled_rows_bytes(attention_call(node));
}

/* The speeds are from ./bench attention. */
const AttentionBackend attention_mem_efficient_cuda = {
    .forward = CUDA_ROW(mem_efficient_forward, DTYPES_REAL, ATTENTION_FORWARD("mem_efficient"),
                        .refuses = refuses,
                        .speed = {[PRECISION_HALF] = {9.0, 0.235, 0},
                                  [PRECISION_TF32] = {9.0, 0.064, 0},
                                  [PRECISION_SINGLE] = {9.0, 0.51, 0}}),
    .backward = CUDA_ROW(mem_efficient_backward, DTYPES_REAL, ATTENTION_BACKWARD("mem_efficient"),
                         .workspace = backward_workspace, .yields = true,
                         .speed = {[PRECISION_HALF] = {22.0, 0.19, 0},
                                   [PRECISION_TF32] = {22.0, 0.049, 0},
                                   [PRECISION_SINGLE] = {22.0, 0.40, 0}}),
    .lse = DTYPE_F32,
};
