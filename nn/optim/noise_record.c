#include "nn/optim/noise_record.h"

#include "core/ops/collective.h"
#include "core/ops/norm.h"
#include "core/ops/reduce.h"
#include "core/ops/sequence_squares.h"
#include "nn/optim/buckets.h"

size_t noise_squares_bytes(const Parameters *parameters) {
    return (size_t)parameters->n_buckets * (size_t)parameters->parts * sizeof(double);
}

void noise_squares_record(Program *p, const Parameters *parameters, int bucket, bool is_own,
                          Tensor *squares) {
    if (program_failed(p) || squares == NULL) return;
    int64_t parts = parameters->parts, own = parts / parameters->sharding.ranks,
            count = parts * (int64_t)sizeof(double);
    SquaresAttrs attrs = {parameters->buckets + bucket, 1, parts, {0, parts}};
    if (is_own) attrs.own = (ElementRange){parameters->sharding.rank * own, own};
    if (bucket_has_embedding(parameters, bucket)) attrs.own.count = 0;
    squares_record(p, attrs,
                   program_view(p, squares->buffer, squares->offset + (size_t)(bucket * count),
                                DTYPE_U8, 1, &count),
                   parameters->grads->flat);
}

void noise_norm_record(Program *p, const Collectives *ranks, Tensor *squares, Tensor *out) {
    if (program_failed(p) || squares == NULL) return;
    if (ranks != NULL && ranks->size > 1) {
        int64_t count = tensor_count(squares) / (int64_t)sizeof(double);
        Tensor *numbers = program_view(p, squares->buffer, squares->offset, DTYPE_F64, 1, &count);
        all_reduce_record(p, ranks, numbers, "all_reduce of the noise scale");
        collectives_wait_record(p, ranks, 0, numbers);
    }
    l2_norm_record(p, out, squares);
}

static Tensor *squares_of_all(Program *p, const Parameters *parameters, bool is_own) {
    program_label(p, "noise scale");
    Tensor *squares = program_workspace(p, noise_squares_bytes(parameters));
    for (int b = 0; b < parameters->n_buckets; b++)
        noise_squares_record(p, parameters, b, is_own, squares);
    return squares;
}

void noise_unit_record(Program *p, const Parameters *parameters, const Collectives *ranks,
                       Tensor *out) {
    noise_norm_record(p, ranks, squares_of_all(p, parameters, false), out);
}

void noise_whole_record(Program *p, const Parameters *parameters, const Collectives *ranks,
                        Tensor *out) {
    bool is_sharded = parameters->sharding.is_sharded;
    noise_norm_record(p, is_sharded ? ranks : NULL, squares_of_all(p, parameters, is_sharded), out);
}

/* ---- single sequences ------------------------------------------------------------------------ */

static bool is_norm_backward(const Node *node) {
    return node->op == &layernorm_backward_op || node->op == &rmsnorm_backward_op;
}

static int64_t chunks_of(const Node *node) {
    return sequence_squares_chunks(tensor_columns(node->inputs[0]), node->outputs[2] != NULL);
}

static Tensor *numbers_at(Program *p, const Tensor *all, int64_t first, int64_t count) {
    int64_t bytes = count * (int64_t)sizeof(double);
    if (all == NULL) return NULL;
    return program_view(p, all->buffer, all->offset + (size_t)first * sizeof(double), DTYPE_U8, 1,
                        &bytes);
}

void noise_sequences_insert(Program *p, int64_t sequences, Tensor *unit_norm, Tensor *norm) {
    int64_t chunks = 0, at = 0;
    for (int n = 0; n < p->n_nodes; n++)
        chunks += is_norm_backward(p->nodes[n]) ? chunks_of(p->nodes[n]) : 0;
    Tensor *units = program_workspace(p, (size_t)chunks * sizeof(double)),
           *whole = program_workspace(p, (size_t)chunks * sizeof(double));
    program_label(p, "noise scale");
    for (int n = 0; n < p->n_nodes && !program_failed(p); n++) {
        const Node *node = p->nodes[n];
        if (!is_norm_backward(node)) continue;
        int64_t count = chunks_of(node);
        Node *measures = sequence_squares_record(
            p, node, sequences, numbers_at(p, units, at, count), numbers_at(p, whole, at, count));
        program_move_before(p, measures, node);
        at += count;
        n++; /* the node has moved on by one */
    }
    l2_norm_record(p, unit_norm, units);
    l2_norm_record(p, norm, whole);
}
