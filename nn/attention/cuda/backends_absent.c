/* CUDA's rows of the backend table in a build without CUDA: they refuse every call. And the one
 * kernel besides. */
#include "nn/attention/backend.h"

static const char *refuses(const AttentionCall *call, const Target *target) {
    (void)call;
    (void)target;
    return "this program was built without CUDA";
}

#define ABSENT_ROW(variable, shown)                                                                \
    const AttentionBackend variable = {.name = shown, .device = DEVICE_CUDA, .refuses = refuses}

ABSENT_ROW(attention_flash_sm80, "flash");
ABSENT_ROW(attention_flash_sm90, "flash");
ABSENT_ROW(attention_mem_efficient_cuda, "mem_efficient");
ABSENT_ROW(attention_math_cuda, "math");
ABSENT_ROW(attention_baseline_cuda, "baseline");

Status documents_cuda(const Node *node, void *stream);
Status documents_cuda(const Node *node, void *stream) {
    (void)node;
    (void)stream;
    return ERROR(STATUS_CONFIG, "this program was built without CUDA");
}
