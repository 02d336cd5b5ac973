/* Tensors are plain descriptions: a dtype, a row-major shape and a place in a buffer. They own
 * nothing.
 *
 * A buffer is a range of memory that gets its address late: a program's buffers when the plan is
 * bound to a device, a store's sections when the store is allocated. Many tensors may view one
 * buffer. */
#pragma once

#include "core/dtype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { TENSOR_MAX_DIMS = 4 };

/* What the memory is for: the rows of the memory table. */
typedef enum BufferKind {
    BUFFER_WEIGHTS,
    BUFFER_MASTER_WEIGHTS, /* f32 copies, where the weights themselves are narrower */
    BUFFER_MOMENTS,
    BUFFER_GRADIENTS, /* of the weights */
    BUFFER_ACTIVATIONS,
    BUFFER_ACTIVATION_GRADIENTS,
    BUFFER_LOGITS,
    BUFFER_WORKSPACE,
    BUFFER_INPUTS, /* tokens, targets, step state, results */
    BUFFER_KINDS
} BufferKind;

const char *buffer_kind_name(BufferKind kind);

typedef struct Buffer {
    BufferKind kind;
    size_t bytes;
    bool persistent; /* belongs to a store and outlives every program */
    int index;       /* among its program's buffers */
    void *data;      /* NULL until bound */
} Buffer;

typedef struct Tensor {
    Buffer *buffer;
    size_t offset; /* bytes from the buffer's start */
    DType dtype;
    int n_dims;
    int64_t shape[TENSOR_MAX_DIMS];
    bool needs_grad;
} Tensor;

static inline void *tensor_data(const Tensor *t) { return (char *)t->buffer->data + t->offset; }

/* Elements of a tensor; of its last dimension (1 for a scalar); of all the others. */
int64_t tensor_count(const Tensor *t);
int64_t tensor_columns(const Tensor *t);
int64_t tensor_rows(const Tensor *t);
size_t tensor_bytes(const Tensor *t);
bool tensor_same_shape(const Tensor *a, const Tensor *b);

/* "f32 (4, 256, 768)", for messages; one of a few static buffers a thread. */
const char *tensor_text(const Tensor *t);

#ifdef __cplusplus
}
#endif
