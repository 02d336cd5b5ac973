#include "nn/update.h"

#include "core/ops/collective.h"
#include "core/ops/reduce.h"
#include "nn/gather.h"

#include <stdlib.h>

/* A span, and the last node that writes a gradient in it. */
typedef struct Completion {
    int node, span;
} Completion;

static bool is_shared(const Update *u) { return u->parameters->sharing.is_shared; }

static bool has_ranks(const Update *u) { return u->collectives != NULL && u->collectives->size > 1; }

static Tensor *elements(Program *p, Section *section, Span range) {
    return program_view(p, &section->buffer, (size_t)range.first * dtype_size(section->dtype), section->dtype, 1,
                        &range.count);
}

/* The last node that writes into the range of the gradients. */
static int last_writer(const Program *p, const Section *grads, Span range) {
    size_t each = dtype_size(grads->dtype);
    for (int n = p->n_nodes - 1; n >= 0; n--) {
        const Node *node = p->nodes[n];
        for (int i = 0; i < node->n_outputs; i++) {
            const Tensor *t = node->outputs[i];
            if (t == NULL || t->buffer != &grads->buffer) continue;
            int64_t at = (int64_t)(t->offset / each);
            if (at >= range.first && at < range.first + range.count) return n;
        }
    }
    return p->n_nodes - 1;
}

static int by_node(const void *a, const void *b) {
    const Completion *x = a, *y = b;
    return x->node != y->node ? x->node - y->node : x->span - y->span;
}

/* In the order in which backward completes them. */
static Completion *completions_find(Program *p, const Parameters *parameters) {
    Completion *completions = arena_alloc(&p->arena, ((size_t)parameters->n_spans + 1) * sizeof *completions);
    if (completions == NULL) return program_fail(p, STATUS_FAILURE, "out of memory while recording reductions");
    for (int s = 0; s < parameters->n_spans; s++) {
        completions[s] = (Completion){last_writer(p, parameters->grads, parameters->spans[s]), s};
    }
    qsort(completions, (size_t)parameters->n_spans, sizeof *completions, by_node);
    return completions;
}

/* Where the reduction of gradients that node `last` completes goes: right behind it; on a GPU before the next node that
 * goes well with it, where there is one (docs/results/cuda_ranks.md). */
static int reduction_place(const Program *p, int last) {
    for (int n = last + 1; n < p->n_nodes && p->target.kind == DEVICE_CUDA; n++) {
        if (p->nodes[n]->op->yields) return n;
    }
    return last + 1;
}

/* From the last to the first, so that the places of the earlier ones stay. */
static void reductions_record(Program *p, const Update *u, const Completion *completions) {
    const Parameters *parameters = u->parameters;
    for (int i = parameters->n_spans - 1; i >= 0; i--) {
        Tensor *span = elements(p, parameters->grads, parameters->spans[completions[i].span]);
        if (is_shared(u)) {
            reduce_scatter_record(p, u->collectives, span, arena_printf(&p->arena, "reduce_scatter of bucket %d", i));
        } else {
            all_reduce_record(p, u->collectives, span, arena_printf(&p->arena, "all_reduce of bucket %d", i));
        }
        program_move_last(p, reduction_place(p, completions[i].node));
    }
}

/* Of spans [first, end), as far as this rank knows them. */
static void squares_of(Program *p, const Update *u, Tensor *squares, int first, int end) {
    const Parameters *parameters = u->parameters;
    int64_t parts = parameters->parts, own = parts / parameters->sharing.ranks;
    if (first >= end || program_failed(p)) return;
    SquaresAttrs attrs = {parameters->spans + first, end - first, parts, {0, parts}};
    if (is_shared(u)) attrs.own = (Span){parameters->sharing.rank * own, own};
    size_t bytes = (size_t)parts * sizeof(double);
    int64_t count = (int64_t)bytes * (end - first);
    Tensor *out = program_view(p, squares->buffer, (size_t)first * bytes, squares->dtype, 1, &count);
    squares_record(p, attrs, out, parameters->grads->flat);
}

static void squares_sum(Program *p, const Update *u, Tensor *squares) {
    int64_t count = tensor_count(squares) / (int64_t)sizeof(double);
    Tensor *numbers = program_view(p, squares->buffer, squares->offset, DTYPE_F64, 1, &count);
    all_reduce_record(p, u->collectives, numbers, "all_reduce of the norm");
    collectives_wait_record(p, u->collectives, 0, numbers);
}

static void norm_of_ranks(Program *p, const Update *u, Tensor *squares) {
    const Parameters *parameters = u->parameters;
    Completion *completions = completions_find(p, parameters);
    if (program_failed(p)) return;
    int last = completions[parameters->n_spans - 1].span;
    reductions_record(p, u, completions);
    all_reduce_record(p, u->collectives, u->loss, "all_reduce of the loss");
    if (parameters->n_spans > 1) {
        collectives_wait_record(p, u->collectives, 2, parameters->grads->flat); /* the last span and the loss */
        squares_of(p, u, squares, 0, last);
        squares_of(p, u, squares, last + 1, parameters->n_spans);
    }
    collectives_wait_record(p, u->collectives, 0, u->loss);
    squares_of(p, u, squares, last, last + 1);
    if (is_shared(u)) squares_sum(p, u, squares);
}

/* Everything where there are no pieces. */
static void adamw_of(Program *p, const Update *u, const AdamwPiece *pieces, int n_pieces) {
    const Parameters *parameters = u->parameters;
    AdamwAttrs attrs = u->adamw;
    attrs.n_decayed = parameters->n_decayed;
    adamw_record(p, attrs,
                 (AdamwTensors){.grad = parameters->grads->flat,
                                .norm = u->norm,
                                .step = u->step,
                                .weight = parameters->weights->flat,
                                .master = parameters->masters == NULL ? NULL : parameters->masters->flat,
                                .m = parameters->m->flat,
                                .v = parameters->v->flat,
                                .offender = u->offender,
                                .pieces = pieces,
                                .n_pieces = n_pieces});
}

/* This rank's pieces of spans [first, end), in one op. */
static void adamw_of_spans(Program *p, const Update *u, int first, int end) {
    const Parameters *parameters = u->parameters;
    AdamwPiece *pieces = arena_alloc(&p->arena, (size_t)(end - first) * sizeof *pieces);
    if (pieces == NULL) {
        program_fail(p, STATUS_FAILURE, "out of memory while recording an update");
        return;
    }
    for (int s = first; s < end; s++) {
        Span piece = parameters_piece(parameters, s);
        pieces[s - first] = (AdamwPiece){piece.first, parameters_piece_place(parameters, s), piece.count};
    }
    adamw_of(p, u, pieces, end - first);
}

/* What forward reads first travels while the rest is updated, and the rest when the next program runs: nn/gather.h. */
static void adamw_of_pieces(Program *p, const Update *u) {
    const Parameters *parameters = u->parameters;
    int late = gather_late(parameters), n = parameters->n_spans;
    if (late < n) adamw_of_spans(p, u, late, n);
    for (int s = late; s < n; s++) gather_span_record(p, parameters, u->collectives, s);
    if (late > 0) adamw_of_spans(p, u, 0, late);
    if (late < n) collectives_wait_record(p, u->collectives, 0, parameters->weights->flat);
}

void update_record(Program *p, const Update *u) {
    const Parameters *parameters = u->parameters;
    Tensor *squares = program_workspace(p, (size_t)parameters->n_spans * (size_t)parameters->parts * sizeof(double));
    if (program_failed(p) || squares == NULL) return;
    program_label(p, "gradients");
    if (has_ranks(u)) {
        norm_of_ranks(p, u, squares);
    } else {
        squares_of(p, u, squares, 0, parameters->n_spans);
    }
    program_label(p, "optimizer");
    norm_record(p, u->norm, squares);
    if (is_shared(u)) {
        adamw_of_pieces(p, u);
    } else {
        adamw_of(p, u, NULL, 0);
    }
}
