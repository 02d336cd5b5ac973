#include "core/program.h"

#include "core/base/checked.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Status program_create(Target target, bool training, Program **out) {
    Program *p = calloc(1, sizeof *p);
    if (p != NULL) p->executable = calloc(1, sizeof *p->executable);
    if (p == NULL || p->executable == NULL) {
        free(p);
        return OUT_OF_MEMORY("a program");
    }
    p->target = target;
    p->training = training;
    p->label = "";
    *out = p;
    return OK;
}

void program_destroy(Program **p) {
    if (p == NULL || *p == NULL) return;
    if ((*p)->executable->destroy != NULL) (*p)->executable->destroy((*p)->executable->data);
    free((*p)->executable);
    free((*p)->nodes);
    free((*p)->buffers);
    free((*p)->slots);
    arena_free(&(*p)->arena);
    free(*p);
    *p = NULL;
}

Status program_status(const Program *p) {
    if (!program_failed(p)) return OK;
    return ERROR(p->status.code, "%s",
                 p->message == NULL ? "out of memory while recording" : p->message);
}

void *program_fail(Program *p, StatusCode code, const char *format, ...) {
    if (program_failed(p)) return NULL;
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    p->status = (Status){.code = code};
    p->message = arena_printf(&p->arena, "%s%s%s", p->label, p->label[0] == '\0' ? "" : ": ", text);
    return NULL;
}

void program_check(Program *p, Status status) {
    if (failed(status)) program_fail(p, status.code, "%s", status_message());
}

void program_label(Program *p, const char *format, ...) {
    char text[128];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    const char *label = arena_strdup(&p->arena, text);
    if (label != NULL) p->label = label;
}

/* Grows an array for one more pointer if needed; false if out of memory. */
static bool array_grow(void *array, int count, int *capacity) {
    if (count < *capacity) return true;
    int wanted = *capacity == 0 ? 64 : *capacity * 2;
    void **grown = realloc(*(void **)array, (size_t)wanted * sizeof(void *));
    if (grown == NULL) return false;
    *(void **)array = grown;
    *capacity = wanted;
    return true;
}

static void *out_of_memory(Program *p) {
    return program_fail(p, STATUS_OUT_OF_MEMORY, "out of memory while recording");
}

static Buffer *buffer_add(Program *p, BufferKind kind, size_t bytes) {
    Buffer *buffer = arena_alloc(&p->arena, sizeof *buffer);
    if (buffer == NULL || !array_grow(&p->buffers, p->n_buffers, &p->buffer_capacity))
        return out_of_memory(p);
    *buffer = (Buffer){.kind = kind, .bytes = bytes, .index = p->n_buffers};
    p->buffers[p->n_buffers++] = buffer;
    return buffer;
}

static bool shape_bytes(DType dtype, int n_dims, const int64_t *shape, size_t *bytes) {
    *bytes = dtype_size(dtype);
    for (int i = 0; i < n_dims; i++) {
        if (shape[i] < 0 || !checked_mul(*bytes, (size_t)shape[i], bytes)) return false;
    }
    return true;
}

Tensor *program_tensor(Program *p, BufferKind kind, DType dtype, int n_dims, const int64_t *shape) {
    if (program_failed(p)) return NULL;
    size_t bytes;
    if (n_dims > TENSOR_MAX_DIMS || !shape_bytes(dtype, n_dims, shape, &bytes)) {
        return program_fail(p, STATUS_CONFIG, "a tensor of %d dimensions is too large to address",
                            n_dims);
    }
    Tensor *t = arena_alloc(&p->arena, sizeof *t);
    if (t == NULL) return out_of_memory(p);
    *t = (Tensor){.buffer = buffer_add(p, kind, bytes), .dtype = dtype, .n_dims = n_dims};
    memcpy(t->shape, shape, (size_t)n_dims * sizeof *shape);
    return program_failed(p) ? NULL : t;
}

Tensor *program_tensor_like(Program *p, BufferKind kind, const Tensor *like) {
    if (program_failed(p) || like == NULL) return NULL;
    return program_tensor(p, kind, like->dtype, like->n_dims, like->shape);
}

Tensor *program_view(Program *p, Buffer *buffer, size_t offset, DType dtype, int n_dims,
                     const int64_t *shape) {
    if (program_failed(p)) return NULL;
    Tensor *view = arena_alloc(&p->arena, sizeof *view);
    if (view == NULL) return out_of_memory(p);
    *view = (Tensor){.buffer = buffer, .offset = offset, .dtype = dtype, .n_dims = n_dims};
    memcpy(view->shape, shape, (size_t)n_dims * sizeof *shape);
    return view;
}

Tensor *program_rows(Program *p, const Tensor *t, int64_t first, int64_t count) {
    if (program_failed(p) || t == NULL) return NULL;
    int64_t columns = tensor_columns(t);
    if (first < 0 || count < 0 || first + count > tensor_rows(t)) {
        return program_fail(p, STATUS_FAILURE, "rows %lld to %lld are outside of %s",
                            (long long)first, (long long)(first + count), tensor_text(t));
    }
    size_t offset = t->offset + (size_t)(first * columns) * dtype_size(t->dtype);
    Tensor *view = program_view(p, t->buffer, offset, t->dtype, 2, (int64_t[]){count, columns});
    if (view != NULL) view->needs_grad = t->needs_grad;
    return view;
}

Tensor *program_workspace(Program *p, size_t bytes) {
    if (bytes == 0) return NULL;
    int64_t shape[] = {(int64_t)bytes};
    return program_tensor(p, BUFFER_WORKSPACE, DTYPE_U8, 1, shape);
}

uint32_t program_stream(Program *p) { return ++p->n_streams; }

static Tensor **tensors_copy(Program *p, Tensor *const *tensors, int count) {
    Tensor **copy = arena_alloc(&p->arena, (size_t)(count + 1) * sizeof *copy);
    if (copy == NULL) return out_of_memory(p);
    if (count > 0) memcpy(copy, tensors, (size_t)count * sizeof *copy);
    return copy;
}

static void mark_gradients(const Program *p, Node *node) {
    bool needed = false;
    for (int i = 0; i < node->n_inputs; i++)
        needed |= node->inputs[i] != NULL && node->inputs[i]->needs_grad;
    if (!p->training || !needed || node->op->gradient == NULL) return;
    for (int i = 0; i < node->n_outputs; i++) {
        if (node->outputs[i] != NULL) node->outputs[i]->needs_grad = true;
    }
}

static DType dtype_of(const Node *node) {
    Operand by = node->op->typed_by;
    int count = by.is_output ? node->n_outputs : node->n_inputs;
    const Tensor *t =
        by.index >= count ? NULL : (by.is_output ? node->outputs : node->inputs)[by.index];
    return t == NULL ? DTYPE_COUNT : t->dtype;
}

static void kernel_settle(Program *p, Node *node) {
    KernelVerdict verdicts[KERNEL_MAX_CHOICES];
    int n_verdicts;
    node->dtype = dtype_of(node);
    if (node->kernel == NULL) {
        Status status = kernel_pick(node, &p->target, NULL, verdicts, &n_verdicts, &node->kernel);
        program_check(p, status_prefixed(status, "%s", node->op->name));
    }
    if (program_failed(p) || node->kernel->workspace == NULL) return;
    node->workspace = program_workspace(p, node->kernel->workspace(node, &p->target));
}

Node *program_record(Program *p, Recording r) {
    if (program_failed(p)) return NULL;
    if (r.n_inputs > NODE_MAX_TENSORS || r.n_outputs > NODE_MAX_TENSORS) {
        return program_fail(p, STATUS_FAILURE, "%s: more than %d tensors", r.op->name,
                            NODE_MAX_TENSORS);
    }
    Node *node = arena_alloc(&p->arena, sizeof *node);
    void *attrs = arena_alloc(&p->arena, r.attrs_bytes + 1);
    if (node == NULL || attrs == NULL || !array_grow(&p->nodes, p->n_nodes, &p->node_capacity))
        return out_of_memory(p);
    if (r.attrs_bytes > 0) memcpy(attrs, r.attrs, r.attrs_bytes);
    *node = (Node){
        .op = r.op,
        .label = p->label,
        .attrs = attrs,
        .attrs_bytes = r.attrs_bytes,
        .n_inputs = r.n_inputs,
        .n_outputs = r.n_outputs,
        .inputs = tensors_copy(p, r.inputs, r.n_inputs),
        .outputs = tensors_copy(p, r.outputs, r.n_outputs),
        .kernel = r.kernel,
    };
    if (!program_failed(p)) kernel_settle(p, node);
    if (program_failed(p)) return NULL;
    mark_gradients(p, node);
    p->nodes[p->n_nodes++] = node;
    return node;
}

Node *program_last(const Program *p) { return p->n_nodes == 0 ? NULL : p->nodes[p->n_nodes - 1]; }

int program_position(const Program *p, const Node *node) {
    int position = 0;
    while (position < p->n_nodes && p->nodes[position] != node) position++;
    return position;
}

void program_move_before(Program *p, Node *node, const Node *anchor) {
    if (program_failed(p) || node == NULL || node == anchor) return;
    int from = program_position(p, node), to = program_position(p, anchor);
    if (to > from) to--;
    Node **nodes = p->nodes;
    if (from > to) memmove(&nodes[to + 1], &nodes[to], (size_t)(from - to) * sizeof(Node *));
    if (to > from) memmove(&nodes[from], &nodes[from + 1], (size_t)(to - from) * sizeof(Node *));
    nodes[to] = node;
}
