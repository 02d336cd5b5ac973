#include "nn/attention/documents.h"

DECLARE_KERNELS(documents);

static const Op documents_op = {.name = "documents", KERNELS(documents)};

Tensor *documents_record(Program *p, Tensor *tokens, int32_t end_of_text) {
    if (program_failed(p) || tokens == NULL) return NULL;
    DocumentsAttrs attrs = {end_of_text};
    Tensor *ranges = program_tensor(p, BUFFER_ACTIVATIONS, DTYPE_I32, 3,
                                    (int64_t[]){2, tokens->shape[0], tokens->shape[1]});
    program_record(p, (Recording){&documents_op, &attrs, sizeof attrs, TENSORS(tokens),
                                  TENSORS(ranges), NULL});
    return ranges;
}
