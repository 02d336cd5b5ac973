/* flash's row for sm_80 and later. */
#include "nn/attention/backend.h"
#include "nn/attention/cuda/common/tiled.h"

DECLARE_KERNELS(flash_sm80_forward);
DECLARE_KERNELS(flash_sm80_backward);

static const char *refuses(const Node *node, const Target *target) {
    return target->sm < 80 ? "needs sm_80 or later" : flash_refuses(attention_call(node));
}

static size_t backward_workspace(const Node *node, const Target *target) {
    (void)target;
    return tiled_rows_bytes(attention_call(node));
}

const AttentionBackend attention_flash_sm80 = {
    .forward = CUDA_ROW(flash_sm80_forward, DTYPES_HALF, ATTENTION_FORWARD("flash"),
                        .refuses = refuses, .speed = FLASH_FORWARD_SPEED),
    .backward =
        CUDA_ROW(flash_sm80_backward, DTYPES_HALF, ATTENTION_BACKWARD("flash"),
                 .workspace = backward_workspace, .yields = true, .speed = FLASH_BACKWARD_SPEED),
    .lse = DTYPE_F32,
};
