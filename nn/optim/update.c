#include "nn/optim/update.h"

#include "core/ops/collective.h"
#include "core/ops/reduce.h"
#include "nn/optim/buckets.h"
#include "nn/optim/noise_record.h"
#include "nn/optim/weight_prefetch.h"

static bool is_sharded(const Update *u) { return u->parameters->sharding.is_sharded; }

static bool has_ranks(const Update *u) {
    return u->collectives != NULL && u->collectives->size > 1;
}

/* The last node that writes into this range of the gradients. */
static Node *last_writer(const Program *p, const Section *grads, ElementRange range) {
    for (int n = p->n_nodes - 1; n >= 0; n--) {
        Node *node = p->nodes[n];
        for (int i = 0; i < node->n_outputs; i++) {
            if (bucket_holds(grads, range, node->outputs[i])) return node;
        }
    }
    return program_last(p);
}

/* The buckets with the last node that writes each one's gradient, in the order of completion in
 * backward. */
static BucketNode *completions_find(Program *p, const Parameters *parameters) {
    BucketNode *completions =
        arena_alloc(&p->arena, ((size_t)parameters->n_buckets + 1) * sizeof *completions);
    if (completions == NULL)
        return program_fail(p, STATUS_OUT_OF_MEMORY, "out of memory while recording reductions");
    for (int b = 0; b < parameters->n_buckets; b++) {
        completions[b] = (BucketNode){b, last_writer(p, parameters->grads, parameters->buckets[b])};
    }
    bucket_nodes_sort(p, completions, parameters->n_buckets);
    return completions;
}

/* The node before which the reduction of the gradients that `last` completes starts: the next node;
 * on a GPU the next node that yields, if there is one (docs/results/cuda_ranks.md). NULL: at the
 * end. */
static Node *reduction_anchor(const Program *p, const Node *last) {
    int next = program_position(p, last) + 1;
    for (int n = next; n < p->n_nodes; n++) {
        if (p->nodes[n]->kernel->yields) return p->nodes[n];
    }
    return next < p->n_nodes ? p->nodes[next] : NULL;
}

/* Returns the number of nodes: with `units` the squares of this rank's own gradient come first. */
static int reduction_record(Program *p, const Update *u, int bucket, Tensor *units) {
    const Parameters *parameters = u->parameters;
    int before = p->n_nodes;
    noise_squares_record(p, parameters, bucket, false, units);
    Tensor *view = bucket_view(p, parameters->grads, parameters->buckets[bucket]);
    if (is_sharded(u)) {
        reduce_scatter_record(p, u->collectives, view,
                              arena_printf(&p->arena, "reduce_scatter of bucket %d", bucket));
    } else {
        all_reduce_record(p, u->collectives, view,
                          arena_printf(&p->arena, "all_reduce of bucket %d", bucket));
    }
    return p->n_nodes - before;
}

/* Completions from `tail` on coincide with the end of backward: their reductions stay at the end,
 * the last one first. */
static void reductions_record(Program *p, const Update *u, const BucketNode *completions, int tail,
                              Tensor *units) {
    int n = u->parameters->n_buckets, count;
    Node **anchors = arena_alloc(&p->arena, ((size_t)tail + 1) * sizeof *anchors), *first = NULL;
    if (anchors == NULL) {
        program_fail(p, STATUS_OUT_OF_MEMORY, "out of memory while recording reductions");
        return;
    }
    for (int i = 0; i < tail; i++) anchors[i] = reduction_anchor(p, completions[i].node);
    for (int i = n - 1; i >= tail && !program_failed(p); i--) {
        count = reduction_record(p, u, completions[i].bucket, units);
        if (first == NULL && !program_failed(p)) first = p->nodes[p->n_nodes - count];
    }
    for (int i = 0; i < tail && !program_failed(p); i++) {
        count = reduction_record(p, u, completions[i].bucket, units);
        for (int k = count; k > 0 && !program_failed(p); k--)
            program_move_before(p, p->nodes[p->n_nodes - k],
                                anchors[i] == NULL ? first : anchors[i]);
    }
}

/* Of buckets [first, end): the elements whose sums this rank holds. */
static void squares_of(Program *p, const Update *u, Tensor *squares, int first, int end) {
    const Parameters *parameters = u->parameters;
    int64_t parts = parameters->parts, own = parts / parameters->sharding.ranks;
    if (first >= end || program_failed(p)) return;
    SquaresAttrs attrs = {parameters->buckets + first, end - first, parts, {0, parts}};
    if (is_sharded(u)) attrs.own = (ElementRange){parameters->sharding.rank * own, own};
    size_t bytes = (size_t)parts * sizeof(double);
    int64_t count = (int64_t)bytes * (end - first);
    Tensor *out =
        program_view(p, squares->buffer, (size_t)first * bytes, squares->dtype, 1, &count);
    squares_record(p, attrs, out, parameters->grads->flat);
}

static void squares_sum(Program *p, const Update *u, Tensor *squares) {
    int64_t count = tensor_count(squares) / (int64_t)sizeof(double);
    Tensor *numbers = program_view(p, squares->buffer, squares->offset, DTYPE_F64, 1, &count);
    all_reduce_record(p, u->collectives, numbers, "all_reduce of the norm");
    collectives_wait_record(p, u->collectives, 0, numbers);
}

/* Of the trailing buckets, or of the others; adjacent buckets together. */
static void squares_where(Program *p, const Update *u, Tensor *squares, const bool *trails,
                          bool wanted) {
    int n = u->parameters->n_buckets;
    for (int first = 0, end; first < n; first = end) {
        for (end = first + 1; end < n && trails[end] == trails[first]; end++) {
        }
        if (trails[first] == wanted) squares_of(p, u, squares, first, end);
    }
}

/* The first completion that coincides with the end of backward. If the embeddings' gradients are
 * reduced whole, it is theirs, the last one; otherwise it is the first that backward's last node
 * completes. */
static int tail_find(const Program *p, const Update *u, const BucketNode *completions) {
    int tail = u->parameters->n_buckets;
    if (u->embeddings == NULL) return tail - 1;
    while (tail > 0 && completions[tail - 1].node == program_last(p)) tail--;
    return tail;
}

/* Buckets whose sums are complete only at the very end. Embeddings whose gradients travel as rows
 * are reduced before that, because the rows are added to the reduced gradient. */
static bool *trailing_find(Program *p, const Update *u, const BucketNode *completions, int tail) {
    const Parameters *parameters = u->parameters;
    bool *trails = arena_alloc(&p->arena, (size_t)parameters->n_buckets + 1);
    if (trails == NULL)
        return program_fail(p, STATUS_OUT_OF_MEMORY, "out of memory while recording reductions");
    for (int b = 0; b < parameters->n_buckets; b++) {
        trails[b] = u->embeddings != NULL && bucket_has_embedding(parameters, b);
    }
    for (int i = tail; i < parameters->n_buckets; i++) {
        bool *it = &trails[completions[i].bucket];
        if (*it)
            return program_fail(p, STATUS_FAILURE,
                                "embedding gradients that end with backward cannot travel as rows");
        *it = true;
    }
    return trails;
}

static void norm_of_ranks(Program *p, const Update *u, Tensor *squares) {
    Tensor *units =
        u->unit_norm == NULL ? NULL : program_workspace(p, noise_squares_bytes(u->parameters));
    if (u->embeddings != NULL) embedding_gradients_gather_tokens(p, u->embeddings);
    BucketNode *completions = completions_find(p, u->parameters);
    if (program_failed(p)) return;
    int tail = tail_find(p, u, completions),
        left = u->parameters->n_buckets - tail + 1; /* the tail and the loss */
    const bool *trails = trailing_find(p, u, completions, tail);
    if (trails == NULL) return;
    if (u->embeddings != NULL) embedding_gradients_gather_rows(p, u->embeddings);
    reductions_record(p, u, completions, tail, units);
    all_reduce_record(p, u->collectives, u->loss, "all_reduce of the loss");
    if (tail > 0 || u->embeddings != NULL) {
        collectives_wait_record(p, u->collectives, left + (u->embeddings != NULL),
                                u->parameters->grads->flat);
        squares_where(p, u, squares, trails, false);
    }
    if (u->embeddings != NULL) {
        embedding_gradients_order(p, u->embeddings);
        collectives_wait_record(p, u->collectives, left, u->embeddings->rows);
        embedding_gradients_add(p, u->embeddings);
    }
    collectives_wait_record(p, u->collectives, 0, u->loss);
    squares_where(p, u, squares, trails, true);
    if (is_sharded(u)) squares_sum(p, u, squares);
    noise_norm_record(p, u->collectives, units, u->unit_norm);
}

/* Updates buckets [first, end), each group by its optimizer. */
static void buckets_update(Program *p, const Update *u, int first, int end) {
    const Parameters *parameters = u->parameters;
    for (int g = 0; g < parameters->n_groups && !program_failed(p); g++) {
        const ParameterGroup *group = &parameters->groups[g];
        GroupUpdate update = {.parameters = parameters,
                              .group = group,
                              .first_bucket =
                                  group->first_bucket > first ? group->first_bucket : first,
                              .end_bucket = group->end_bucket < end ? group->end_bucket : end,
                              .clip = u->clip,
                              .step = u->step,
                              .norm = u->norm,
                              .first_nonfinite = u->first_nonfinite};
        if (update.first_bucket < update.end_bucket) group->optimizer->record(p, &update);
    }
}

/* The buckets that forward reads first are gathered while the others are updated; the next program
 * gathers the others: nn/optim/weight_prefetch.h. */
static void shards_update(Program *p, const Update *u) {
    const Parameters *parameters = u->parameters;
    int late = weight_prefetch_late(parameters), n = parameters->n_buckets;
    buckets_update(p, u, late, n);
    for (int b = late; b < n; b++) weight_gather_bucket(p, parameters, u->collectives, b);
    buckets_update(p, u, 0, late);
    if (late < n) collectives_wait_record(p, u->collectives, 0, parameters->weights->flat);
}

void update_record(Program *p, const Update *u) {
    const Parameters *parameters = u->parameters;
    Tensor *squares = program_workspace(p, (size_t)parameters->n_buckets *
                                               (size_t)parameters->parts * sizeof(double));
    if (program_failed(p) || squares == NULL) return;
    program_label(p, "gradients");
    if (has_ranks(u)) {
        norm_of_ranks(p, u, squares);
    } else {
        squares_of(p, u, squares, 0, parameters->n_buckets);
    }
    program_label(p, "optimizer");
    l2_norm_record(p, u->norm, squares);
    if (is_sharded(u)) {
        shards_update(p, u);
    } else {
        buckets_update(p, u, 0, parameters->n_buckets);
    }
}
