#include "core/ops/collective.h"

typedef struct CollectiveAttrs {
    const Collectives *collectives;
    const char *label;
    int left;
} CollectiveAttrs;

static Status all_reduce(const Node *node, void *stream) {
    const CollectiveAttrs *attrs = node->attrs;
    const Collectives *c = attrs->collectives;
    const Tensor *t = node->outputs[0];
    return c->all_reduce_start(c->self, tensor_data(t), tensor_count(t), t->dtype, attrs->label,
                               stream);
}

static Status reduce_scatter(const Node *node, void *stream) {
    const CollectiveAttrs *attrs = node->attrs;
    const Collectives *c = attrs->collectives;
    const Tensor *t = node->outputs[0];
    return c->reduce_scatter_start(c->self, tensor_data(t), tensor_count(t), t->dtype, attrs->label,
                                   stream);
}

static Status all_gather(const Node *node, void *stream) {
    const CollectiveAttrs *attrs = node->attrs;
    const Collectives *c = attrs->collectives;
    const Tensor *t = node->outputs[0];
    return c->all_gather_start(c->self, tensor_data(t), tensor_count(t), t->dtype, attrs->label,
                               stream);
}

static Status wait_for(const Node *node, void *stream) {
    const CollectiveAttrs *attrs = node->attrs;
    return attrs->collectives->wait(attrs->collectives->self, attrs->left, stream);
}

/* One function serves all devices, because the collectives know theirs. No predicted time:
 * collectives overlap other ops. */
#define EVERYWHERE(function)                                                                       \
    KERNELS(&(const Kernel){.device = DEVICE_CPU, .dtypes = DTYPES_ALL, .run = function},          \
            &(const Kernel){.device = DEVICE_CUDA, .dtypes = DTYPES_ALL, .run = function})
#define COLLECTIVE(shown, function)                                                                \
    { .name = shown, .typed_by = OUTPUT(0), .kernels = EVERYWHERE(function) }
static const Op all_reduce_op = COLLECTIVE("all_reduce", all_reduce);
static const Op reduce_scatter_op = COLLECTIVE("reduce_scatter", reduce_scatter);
static const Op all_gather_op = COLLECTIVE("all_gather", all_gather);
static const Op wait_op = COLLECTIVE("wait", wait_for);

bool collective_step(const Node *node, CollectiveStep *out) {
    const struct {
        const Op *op;
        CollectiveKind kind;
    } starts[] = {{&all_reduce_op, COLLECTIVE_ALL_REDUCE},
                  {&reduce_scatter_op, COLLECTIVE_REDUCE_SCATTER},
                  {&all_gather_op, COLLECTIVE_ALL_GATHER}};
    *out = (CollectiveStep){.waits = node->op == &wait_op};
    if (out->waits) out->left = ((const CollectiveAttrs *)node->attrs)->left;
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        if (node->op != starts[i].op) continue;
        out->kind = starts[i].kind;
        out->bytes = tensor_bytes(node->outputs[0]);
        return true;
    }
    return out->waits;
}

static void record(Program *p, const Op *op, CollectiveAttrs attrs, Tensor *t) {
    if (attrs.label != NULL && !program_failed(p))
        attrs.label = arena_strdup(&p->arena, attrs.label);
    program_record(p, (Recording){op, &attrs, sizeof attrs, NULL, 0, TENSORS(t), NULL});
}

void all_reduce_record(Program *p, const Collectives *collectives, Tensor *t, const char *label) {
    record(p, &all_reduce_op, (CollectiveAttrs){collectives, label, 0}, t);
}

void reduce_scatter_record(Program *p, const Collectives *collectives, Tensor *t,
                           const char *label) {
    record(p, &reduce_scatter_op, (CollectiveAttrs){collectives, label, 0}, t);
}

void all_gather_record(Program *p, const Collectives *collectives, Tensor *t, const char *label) {
    record(p, &all_gather_op, (CollectiveAttrs){collectives, label, 0}, t);
}

void collectives_wait_record(Program *p, const Collectives *collectives, int left, Tensor *t) {
    record(p, &wait_op, (CollectiveAttrs){collectives, NULL, left}, t);
}
