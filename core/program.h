/* Program: a list of ops over tensors, recorded by running the model's C code once.
 *
 * While recording, errors stick to the program: every recording function answers NULL from the
 * first failure on and accepts NULL tensors, so that a model reads as mathematics and is checked
 * once, by program_status.
 * Not collective; one thread records a program. */
#pragma once

#include "core/base/arena.h"
#include "core/picker.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct GradientSlot GradientSlot; /* core/autodiff.c */

/* A range of nodes that backward computes again: core/passes/recompute.h. */
typedef struct Segment {
    const Node *first, *last;
    struct Segment *next;
} Segment;

/* What a device keeps of a program that it has replayed (a captured graph); freed with the
 * program. */
typedef struct Executable {
    void *data;
    void (*destroy)(void *data);
} Executable;

struct Program {
    Target target;
    bool training; /* gradients will be asked for: what backward needs is kept */
    Node **nodes;
    int n_nodes;
    Buffer **buffers; /* the program's own; a store's are not among them */
    int n_buffers;
    Executable *executable; /* the device's; never NULL */
    /* Below: the recorder's own state. */
    Arena arena;
    Status status;
    char *message;
    const char *label;
    uint32_t n_streams;
    int node_room, buffer_room;
    Segment *segments;
    GradientSlot *slots;
    int n_slots, slot_capacity;
};

NODISCARD Status program_create(Target target, bool training, Program **out);
void program_destroy(Program **p);

/* The first failure while recording, or OK. */
NODISCARD Status program_status(const Program *p);

/* Makes the program fail (unless it has already), as by ERROR: `return program_fail(p,
 * STATUS_CONFIG, "...")`. Returns NULL for the caller to return. */
void *program_fail(Program *p, StatusCode code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static inline bool program_failed(const Program *p) { return p->status.code != STATUS_OK; }

/* Passes a failed Status on to the program; nothing where it is OK. */
void program_check(Program *p, Status status);

/* Names the layer of the nodes recorded from now on. */
void program_label(Program *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A new tensor in a buffer of its own, laid out by the planner. */
Tensor *program_tensor(Program *p, BufferKind kind, DType dtype, int n_dims, const int64_t *shape);

/* The same with the shape and dtype of another tensor. */
Tensor *program_tensor_like(Program *p, BufferKind kind, const Tensor *like);

/* A view of memory that is already there: a range of a store's section, say. `offset` is in
 * bytes. */
Tensor *program_view(Program *p, Buffer *buffer, size_t offset, DType dtype, int n_dims,
                     const int64_t *shape);

/* A view of `count` rows of t from row `first` on, rows being all dimensions but the last: (count,
 * columns). */
Tensor *program_rows(Program *p, const Tensor *t, int64_t first, int64_t count);

/* Scratch, from the first node that it is given to until the last; NULL for zero bytes. */
Tensor *program_workspace(Program *p, size_t bytes);

/* Which random op this is, for core/rng.h: the first asked is 1. */
uint32_t program_stream(Program *p);

/* What program_record needs to know. Inputs and outputs may hold NULL where the op allows it. */
typedef struct Recording {
    const Op *op;
    const void *attrs; /* copied */
    size_t attrs_bytes;
    Tensor *const *inputs;
    int n_inputs;
    Tensor *const *outputs;
    int n_outputs;
    const Kernel *kernel; /* NULL: the first of the op that takes the node */
} Recording;

/* A list of tensors and its length. */
#define TENSORS(...)                                                                               \
    ((Tensor *const[]){__VA_ARGS__}),                                                              \
        (int)(sizeof((Tensor *const[]){__VA_ARGS__}) / sizeof(Tensor *))

/* Appends a node, and settles its dtype, its kernel and its workspace. Its outputs need a gradient
 * where the program trains and an input needs one.
 *   Errors: STATUS_CONFIG, with each row's reason, where no kernel of the target's device takes
 *   it. */
Node *program_record(Program *p, Recording recording);

/* Moves a node to right before `anchor`, or to the end where that is NULL. Both are the
 * program's. */
void program_move_before(Program *p, Node *node, const Node *anchor);

/* The node recorded last; NULL in an empty program. */
Node *program_last(const Program *p);

/* Where a node is in the list; n_nodes for NULL. */
int program_position(const Program *p, const Node *node);

#ifdef __cplusplus
}
#endif
