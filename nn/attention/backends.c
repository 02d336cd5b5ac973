/* The table of backends, the two ops that they implement, and the choice among them. */
#include "nn/attention/attention.h"

#include <string.h>

#define NOTHING(name)
#define TEXT(name) #name,
#define DECLARATION(row) extern const AttentionBackend attention_##row;
#define BACKEND(row) &attention_##row,
#define FORWARD(row) &attention_##row.forward,
#define BACKWARD(row) &attention_##row.backward,

ATTENTION_BACKENDS(NOTHING, DECLARATION)

const char *const attention_names[] = {ATTENTION_BACKENDS(TEXT, NOTHING) NULL};
const AttentionBackend *const attention_backends[] = {ATTENTION_BACKENDS(NOTHING, BACKEND) NULL};

const Op attention_op = {
    .name = "attention",
    .gradient = attention_gradient,
    .cost = attention_forward_cost,
    .kernels = (const Kernel *const[]){ATTENTION_BACKENDS(NOTHING, FORWARD) NULL},
};

const Op attention_backward_op = {
    .name = "attention_backward",
    .cost = attention_backward_cost,
    .kernels = (const Kernel *const[]){ATTENTION_BACKENDS(NOTHING, BACKWARD) NULL},
};

/* The fields of a node that refusals and workspaces depend on. */
static Node node_of(const AttentionAttrs *attrs) {
    return (Node){.op = &attention_op, .attrs = attrs, .dtype = attrs->call.dtype};
}

const char *attention_refusal(const AttentionBackend *backend, const AttentionCall *call,
                              const Target *target) {
    AttentionAttrs attrs = {.call = *call};
    Node node = node_of(&attrs);
    return kernel_refusal(&backend->forward, &node, target);
}

const AttentionBackend *attention_row(const char *name, const AttentionCall *call,
                                      const Target *target, const char **refusal) {
    *refusal = "this device has none";
    for (int i = 0; attention_backends[i] != NULL; i++) {
        const AttentionBackend *row = attention_backends[i];
        if (row->forward.device != target->kind || strcmp(row->forward.name, name) != 0) continue;
        *refusal = attention_refusal(row, call, target);
        if (*refusal == NULL) return row;
    }
    return NULL;
}

Status attention_pick(const AttentionCall *call, const Target *target, const KernelChoice *choice,
                      KernelVerdict *verdicts, int *n_verdicts, const AttentionBackend **out) {
    AttentionAttrs attrs = {.call = *call};
    Node node = node_of(&attrs);
    const Kernel *kernel = NULL;
    Status status = kernel_pick(&node, target, choice, verdicts, n_verdicts, &kernel);
    *out = attention_backend_of(kernel);
    return status_prefixed(status, "attention.backends");
}
