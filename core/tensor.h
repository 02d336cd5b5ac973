/* Tensors are plain descriptions: a dtype, a row-major shape and a position in a buffer. They own
 * nothing.
 *
 * A buffer is a range of memory that gets its address late: a program's buffers when the plan is
 * bound to a device, a store's sections when the store is allocated. Several tensors may view one
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

/* The purpose of the memory: the rows of the memory table. */
typedef enum BufferKind {
    BUFFER_WEIGHTS,
    BUFFER_MASTER_WEIGHTS, /* f32 copies, if the weights have 16 bits */
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
    int index;       /* in its program */
    void *data;      /* NULL before binding */
} Buffer;

typedef struct Tensor {
    Buffer *buffer;
    size_t offset; /* bytes from the start of the buffer */
    DType dtype;
    int n_dims;
    int64_t shape[TENSOR_MAX_DIMS];
    bool needs_grad;
} Tensor;

static inline void *tensor_data(const Tensor *t) { return (char *)t->buffer->data + t->offset; }

/* The number of elements of a tensor; of its last dimension (1 for a scalar); of all other
 * dimensions. */
int64_t tensor_count(const Tensor *t);
int64_t tensor_columns(const Tensor *t);
int64_t tensor_rows(const Tensor *t);
size_t tensor_bytes(const Tensor *t);
bool tensor_same_shape(const Tensor *a, const Tensor *b);

/* Whether a checkpoint holds it: weights, masters and moments. 16-bit weights are left out, because
 * their masters are in. */
bool tensor_is_state(const Tensor *t);

/* "f32 (4, 256, 768)", for messages. Uses a few static buffers per thread. */
const char *tensor_text(const Tensor *t);

#ifdef __cplusplus
}
#endif
