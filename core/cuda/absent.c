/* What stands in for this folder in a build without CUDA: every kernel and the device exist and say
 * why they do not run, so that the rest of the code needs to know nothing of it. */
#include "core/device.h"

static Status absent(void) {
    return ERROR(STATUS_CONFIG, "this program was built without CUDA; install the CUDA toolkit "
                                "(nvcc in PATH) and run scons again, or "
                                "set device: cpu");
}

#define ABSENT(name)                                                                               \
    Status name##_cuda(const Node *node, void *stream);                                            \
    Status name##_cuda(const Node *node, void *stream) {                                           \
        (void)node;                                                                                \
        (void)stream;                                                                              \
        return absent();                                                                           \
    }

ABSENT(adamw)
ABSENT(copy)
ABSENT(cross_entropy)
ABSENT(dropout)
ABSENT(embedding)
ABSENT(embedding_backward)
ABSENT(embedding_order)
ABSENT(gelu)
ABSENT(gelu_backward)
ABSENT(initialize)
ABSENT(layernorm)
ABSENT(layernorm_backward)
ABSENT(linear)
ABSENT(linear_dx)
ABSENT(linear_dw)
ABSENT(norm)
ABSENT(squares)
ABSENT(sum)

Status device_open_cuda(int index, Device **out) {
    (void)index;
    *out = NULL;
    return absent();
}

int device_count_cuda(void) { return 0; }
