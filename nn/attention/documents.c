#include "nn/attention/documents.h"

Status documents_cpu(const Node *node, void *stream);
Status documents_cuda(const Node *node, void *stream);

static const Op documents_op = {
    .name = "documents",
    .kernels = KERNELS(
        &(const Kernel){.device = DEVICE_CPU, .dtypes = DTYPE_BIT(DTYPE_I32), .run = documents_cpu},
        CUDA_KERNEL(documents, DTYPE_BIT(DTYPE_I32), .speed = MEMORY_SPEED)),
};

Tensor *documents_record(Program *p, Tensor *tokens, int32_t end_of_text) {
    if (program_failed(p) || tokens == NULL) return NULL;
    DocumentsAttrs attrs = {end_of_text};
    Tensor *ranges = program_tensor(p, BUFFER_ACTIVATIONS, DTYPE_I32, 3,
                                    (int64_t[]){2, tokens->shape[0], tokens->shape[1]});
    program_record(p, (Recording){&documents_op, &attrs, sizeof attrs, TENSORS(tokens),
                                  TENSORS(ranges), NULL});
    return ranges;
}
