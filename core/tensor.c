#include "core/tensor.h"

#include <inttypes.h>
#include <stdio.h>

const char *buffer_kind_name(BufferKind kind) {
    static const char *const names[BUFFER_KINDS] = {
        [BUFFER_WEIGHTS] = "weights",
        [BUFFER_MASTER_WEIGHTS] = "master weights",
        [BUFFER_MOMENTS] = "moments",
        [BUFFER_GRADIENTS] = "gradients",
        [BUFFER_ACTIVATIONS] = "activations",
        [BUFFER_ACTIVATION_GRADIENTS] = "activation gradients",
        [BUFFER_LOGITS] = "logits",
        [BUFFER_WORKSPACE] = "workspace",
        [BUFFER_INPUTS] = "inputs",
    };
    return names[kind];
}

int64_t tensor_count(const Tensor *t) {
    int64_t count = 1;
    for (int i = 0; i < t->n_dims; i++) count *= t->shape[i];
    return count;
}

int64_t tensor_columns(const Tensor *t) { return t->n_dims == 0 ? 1 : t->shape[t->n_dims - 1]; }

int64_t tensor_rows(const Tensor *t) {
    int64_t columns = tensor_columns(t);
    return columns == 0 ? 0 : tensor_count(t) / columns;
}

size_t tensor_bytes(const Tensor *t) { return (size_t)tensor_count(t) * dtype_size(t->dtype); }

bool tensor_same_shape(const Tensor *a, const Tensor *b) {
    if (a->n_dims != b->n_dims) return false;
    for (int i = 0; i < a->n_dims; i++) {
        if (a->shape[i] != b->shape[i]) return false;
    }
    return true;
}

bool tensor_is_state(const Tensor *t) {
    return t->buffer->kind <= BUFFER_MOMENTS && t->dtype == dtype_wide(t->dtype);
}

const char *tensor_text(const Tensor *t) {
    enum { TEXTS = 4, BYTES = 128 };
    static _Thread_local char texts[TEXTS][BYTES];
    static _Thread_local int next;
    char *text = texts[next++ % TEXTS];
    int used = snprintf(text, BYTES, "%s (", dtype_name(t->dtype));
    for (int i = 0; i < t->n_dims; i++) {
        used += snprintf(text + used, (size_t)(BYTES - used), "%s%" PRId64, i > 0 ? ", " : "",
                         t->shape[i]);
    }
    snprintf(text + used, (size_t)(BYTES - used), ")");
    return text;
}
