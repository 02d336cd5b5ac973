#include "nn/optim/weight_prefetch.h"

#include "core/ops/collective.h"
#include "nn/optim/buckets.h"

enum { AHEAD = 16 }; /* all-gathers started before the first wait */

static bool is_late(const Parameters *parameters, int bucket) {
    return bucket < parameters->groups[0].end_bucket && !bucket_has_embedding(parameters, bucket);
}

int weight_prefetch_late(const Parameters *parameters) {
    int late = 0;
    if (!parameters->sharding.is_sharded) return 0;
    while (late < parameters->n_buckets && is_late(parameters, late)) late++;
    return late > 1 ? late - 1 : late;
}

static Tensor *weights_of(Program *p, const Parameters *parameters, int bucket) {
    return bucket_view(p, parameters->weights, parameters->buckets[bucket]);
}

void weight_gather_bucket(Program *p, const Parameters *parameters, const Collectives *collectives,
                          int bucket) {
    Tensor *weights = weights_of(p, parameters, bucket);
    all_gather_record(p, collectives, weights,
                      arena_printf(&p->arena, "all_gather of bucket %d", bucket));
}

static bool reads(const Node *node, const Section *weights, ElementRange range) {
    for (int i = 0; i < node->n_inputs; i++) {
        if (bucket_holds(weights, range, node->inputs[i])) return true;
    }
    return false;
}

static Node *first_reader(const Program *p, const Parameters *parameters, int bucket) {
    for (int n = 0; n < p->n_nodes; n++) {
        if (reads(p->nodes[n], parameters->weights, parameters->buckets[bucket]))
            return p->nodes[n];
    }
    return NULL;
}

/* The late buckets with the nodes that read them first, in that order. */
static BucketNode *readers_find(Program *p, const Parameters *parameters, int late) {
    BucketNode *readers = arena_alloc(&p->arena, ((size_t)late + 1) * sizeof *readers);
    if (readers == NULL)
        return program_fail(p, STATUS_OUT_OF_MEMORY, "out of memory while recording all-gathers");
    for (int b = 0; b < late; b++) readers[b] = (BucketNode){b, first_reader(p, parameters, b)};
    bucket_nodes_sort(p, readers, late);
    return readers;
}

/* Inserts before each reader the wait for its bucket, and the start of the all-gather AHEAD buckets
 * further on. */
static void waits_insert(Program *p, const Parameters *parameters, const Collectives *collectives,
                         const BucketNode *readers, int late) {
    for (int i = 0; i < late && !program_failed(p); i++) {
        int ahead = late - 1 - i < AHEAD - 1 ? late - 1 - i : AHEAD - 1;
        collectives_wait_record(p, collectives, ahead,
                                weights_of(p, parameters, readers[i].bucket));
        program_move_before(p, program_last(p), readers[i].node);
        if (i + AHEAD >= late) continue;
        weight_gather_bucket(p, parameters, collectives, readers[i + AHEAD].bucket);
        program_move_before(p, program_last(p), readers[i].node);
    }
}

void weight_prefetch_insert(Program *p, const Parameters *parameters,
                            const Collectives *collectives) {
    int late = weight_prefetch_late(parameters);
    if (late == 0 || program_failed(p)) return;
    const char *label = p->label;
    BucketNode *readers = readers_find(p, parameters, late);
    program_label(p, "weights");
    waits_insert(p, parameters, collectives, readers, late);
    const Node *first = program_failed(p) ? NULL : p->nodes[0];
    for (int i = 0; i < late && i < AHEAD && !program_failed(p); i++) {
        weight_gather_bucket(p, parameters, collectives, readers[i].bucket);
        program_move_before(p, program_last(p), first);
    }
    p->label = label;
}

void weight_gather_record(Program *p, const Parameters *parameters,
                          const Collectives *collectives) {
    int late = weight_prefetch_late(parameters);
    program_label(p, "weights");
    for (int s = late - 1; s >= 0; s--) weight_gather_bucket(p, parameters, collectives, s);
    if (late > 0) collectives_wait_record(p, collectives, 0, parameters->weights->flat);
}
