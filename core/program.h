/* Program: a list of ops over tensors, recorded by one execution of the model's C code.
 *
 * Errors stick to the program: after the first failure every recording function returns NULL, and
 * all accept NULL tensors. Model code therefore reads like mathematics, and checks for errors once,
 * with program_status.
 * Not collective; one thread records a program. */
#pragma once

#include "core/base/arena.h"
#include "core/picker.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct GradientSlot GradientSlot; /* core/autodiff.c */

/* A range of nodes that backward recomputes: core/passes/recompute.h. */
typedef struct Segment {
    const Node *first, *last;
    struct Segment *next;
} Segment;

/* Per-device state of a replayed program (a captured graph); freed with the program. */
typedef struct Executable {
    void *data;
    void (*destroy)(void *data);
} Executable;

struct Program {
    Target target;
    bool training; /* keeps the tensors that backward needs */
    Node **nodes;
    int n_nodes;
    Buffer **buffers; /* owned by the program; excludes those of a store */
    int n_buffers;
    Executable *executable; /* owned by the device; never NULL */
    /* Below: private state of the recorder. */
    Arena arena;
    Status status;
    char *message;
    const char *label;
    uint32_t n_streams;
    int node_capacity, buffer_capacity;
    Segment *segments;
    GradientSlot *slots;
    int n_slots, slot_capacity;
};

NODISCARD Status program_create(Target target, bool training, Program **out);
void program_destroy(Program **p);

/* The first failure while recording, or OK. */
NODISCARD Status program_status(const Program *p);

/* Fails the program like ERROR, unless it has already failed: `return program_fail(p,
 * STATUS_CONFIG, "...")`. Returns NULL for the caller to return. */
void *program_fail(Program *p, StatusCode code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static inline bool program_failed(const Program *p) { return p->status.code != STATUS_OK; }

/* Passes a failed Status to the program; does nothing if it is OK. */
void program_check(Program *p, Status status);

/* Sets the layer name of the nodes recorded from now on. */
void program_label(Program *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A new tensor in a new buffer, which the planner places. */
Tensor *program_tensor(Program *p, BufferKind kind, DType dtype, int n_dims, const int64_t *shape);

/* The same with the shape and dtype of another tensor. */
Tensor *program_tensor_like(Program *p, BufferKind kind, const Tensor *like);

/* A view of existing memory, such as a range of a store's section. `offset` is in bytes. */
Tensor *program_view(Program *p, Buffer *buffer, size_t offset, DType dtype, int n_dims,
                     const int64_t *shape);

/* A view of `count` rows of t from row `first` on: (count, columns). The columns are the last
 * dimension, the rows all others. */
Tensor *program_rows(Program *p, const Tensor *t, int64_t first, int64_t count);

/* Scratch memory, live from the first to the last node that uses it; NULL for zero bytes. */
Tensor *program_workspace(Program *p, size_t bytes);

/* The stream number of the next random op, for core/rng.h; starts at 1. */
uint32_t program_stream(Program *p);

/* The arguments of program_record. Inputs and outputs may contain NULL if the op allows it. */
typedef struct Recording {
    const Op *op;
    const void *attrs; /* copied */
    size_t attrs_bytes;
    Tensor *const *inputs;
    int n_inputs;
    Tensor *const *outputs;
    int n_outputs;
    const Kernel *kernel; /* NULL: the first kernel of the op that accepts the node */
} Recording;

/* A list of tensors and its length. */
#define TENSORS(...)                                                                               \
    ((Tensor *const[]){__VA_ARGS__}),                                                              \
        (int)(sizeof((Tensor *const[]){__VA_ARGS__}) / sizeof(Tensor *))

/* Appends a node and determines its dtype, its kernel and its workspace. Its outputs need a
 * gradient if the program trains and any input needs one.
 *   Errors: STATUS_CONFIG, with the reason of each row, if no kernel of the target's device accepts
 * it. */
Node *program_record(Program *p, Recording recording);

/* Moves a node to just before `anchor`, or to the end if `anchor` is NULL. Both belong to the
 * program. */
void program_move_before(Program *p, Node *node, const Node *anchor);

/* The node recorded last; NULL if the program is empty. */
Node *program_last(const Program *p);

/* The index of a node in the list; n_nodes for NULL. */
int program_position(const Program *p, const Node *node);

#ifdef __cplusplus
}
#endif
