#include "dist/gradient_reduce.h"

#include "dist/buckets.h"

#include <stdlib.h>

typedef struct ReduceAttrs {
    const Collectives *collectives;
    const char *label;
} ReduceAttrs;

static Status all_reduce_start(const Node *node, void *stream) {
    const ReduceAttrs *attrs = node->attrs;
    const Tensor *t = node->outputs[0];
    const Collectives *c = attrs->collectives;
    return c->all_reduce_start(c->self, tensor_data(t), tensor_count(t), t->dtype, attrs->label, stream);
}

static Status all_reduce_wait(const Node *node, void *stream) {
    const ReduceAttrs *attrs = node->attrs;
    return attrs->collectives->wait(attrs->collectives->self, stream);
}

/* The collectives know their device: one function serves all. */
static const Op all_reduce_op = {
    .name = "all_reduce", .cpu_f32 = all_reduce_start, .cpu_f64 = all_reduce_start, .cuda = all_reduce_start};
static const Op all_reduce_wait_op = {
    .name = "all_reduce_wait", .cpu_f32 = all_reduce_wait, .cpu_f64 = all_reduce_wait, .cuda = all_reduce_wait};

/* A gradient of the section, and the last node that writes it. */
typedef struct Completion {
    int node;
    GradientRange range;
} Completion;

static int last_writer(const Program *p, const Tensor *gradient) {
    for (int n = p->n_nodes - 1; n >= 0; n--) {
        const Node *node = p->nodes[n];
        for (int i = 0; i < node->n_outputs; i++) {
            const Tensor *t = node->outputs[i];
            if (t != NULL && t->buffer == gradient->buffer && t->offset == gradient->offset) return n;
        }
    }
    return p->n_nodes - 1;
}

static int by_completion(const void *a, const void *b) {
    const Completion *x = a, *y = b;
    if (x->node != y->node) return x->node - y->node;
    return x->range.offset < y->range.offset ? -1 : 1;
}

static void reduction_record(Program *p, const Collectives *collectives, Tensor *t, const char *label) {
    ReduceAttrs attrs = {collectives, label};
    program_record(p, (Recording){&all_reduce_op, &attrs, sizeof attrs, NULL, 0, TENSORS(t), NULL});
}

/* From the last bucket to the first, so that the places of the earlier ones stay as they are. */
static void buckets_record(Program *p, const Collectives *collectives, Section *gradients,
                           const Completion *completions, const BucketRange *buckets, int64_t n_buckets) {
    for (int64_t i = n_buckets - 1; i >= 0; i--) {
        int64_t count = (int64_t)(buckets[i].bytes / dtype_size(gradients->dtype));
        Tensor *range = program_view(p, &gradients->buffer, buckets[i].offset, gradients->dtype, 1, &count);
        const char *label = arena_printf(&p->arena, "all_reduce of bucket %lld", (long long)buckets[i].bucket);
        reduction_record(p, collectives, range, label);
        program_move_last(p, completions[buckets[i].after].node + 1);
    }
}

static void completions_collect(const Program *p, const Section *gradients, Completion *completions,
                                GradientRange *ranges) {
    for (int i = 0; i < gradients->n_entries; i++) {
        const Tensor *t = gradients->entries[i].tensor;
        completions[i] = (Completion){last_writer(p, t), {t->offset, tensor_bytes(t)}};
    }
    qsort(completions, (size_t)gradients->n_entries, sizeof *completions, by_completion);
    for (int i = 0; i < gradients->n_entries; i++) ranges[i] = completions[i].range;
}

void gradient_reduce_record(Program *p, const Collectives *collectives, Section *gradients, Tensor *loss) {
    if (program_failed(p) || collectives->size == 1) return;
    size_t n = (size_t)gradients->n_entries;
    Completion *completions = arena_alloc(&p->arena, n * sizeof *completions);
    GradientRange *ranges = arena_alloc(&p->arena, n * sizeof *ranges);
    BucketRange *buckets = arena_alloc(&p->arena, n * sizeof *buckets);
    if (completions == NULL || ranges == NULL || buckets == NULL) {
        program_fail(p, STATUS_FAILURE, "out of memory while recording reductions");
        return;
    }
    program_label(p, "gradients");
    int64_t n_buckets = 0;
    completions_collect(p, gradients, completions, ranges);
    program_check(p, buckets_cut(ranges, (int64_t)n, bucket_sizes_default(), buckets, &n_buckets));
    if (program_failed(p)) return;
    buckets_record(p, collectives, gradients, completions, buckets, n_buckets);
    reduction_record(p, collectives, loss, "all_reduce of the loss");
    ReduceAttrs attrs = {collectives, NULL};
    program_record(
        p, (Recording){&all_reduce_wait_op, &attrs, sizeof attrs, NULL, 0, TENSORS(gradients->flat, loss), NULL});
}
