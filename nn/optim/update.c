#include "nn/optim/update.h"

#include "core/ops/collective.h"
#include "core/ops/reduce.h"
#include "nn/optim/buckets.h"
#include "nn/optim/weight_prefetch.h"

static bool is_shared(const Update *u) { return u->parameters->sharing.is_shared; }

static bool has_ranks(const Update *u) {
    return u->collectives != NULL && u->collectives->size > 1;
}

/* The last node that writes into the range of the gradients. */
static int last_writer(const Program *p, const Section *grads, Span range) {
    for (int n = p->n_nodes - 1; n >= 0; n--) {
        const Node *node = p->nodes[n];
        for (int i = 0; i < node->n_outputs; i++) {
            if (span_holds(grads, range, node->outputs[i])) return n;
        }
    }
    return p->n_nodes - 1;
}

/* The spans and the last nodes that write a gradient in them, in the order in which backward
 * completes them. */
static SpanNode *completions_find(Program *p, const Parameters *parameters) {
    SpanNode *completions =
        arena_alloc(&p->arena, ((size_t)parameters->n_spans + 1) * sizeof *completions);
    if (completions == NULL)
        return program_fail(p, STATUS_NO_ROOM, "out of memory while recording reductions");
    for (int s = 0; s < parameters->n_spans; s++) {
        completions[s] = (SpanNode){last_writer(p, parameters->grads, parameters->spans[s]), s};
    }
    span_nodes_sort(completions, parameters->n_spans);
    return completions;
}

/* Where the reduction of gradients that node `last` completes goes: right behind it; on a GPU
 * before the next node that goes well with it, where there is one (docs/results/cuda_ranks.md). */
static int reduction_place(const Program *p, int last) {
    for (int n = last + 1; n < p->n_nodes; n++) {
        if (p->nodes[n]->kernel->yields) return n;
    }
    return last + 1;
}

/* From the last to the first, so that the places of the earlier ones stay. What is complete when
 * backward is comes to the end, from completion `tail` on. */
static void reductions_record(Program *p, const Update *u, const SpanNode *completions, int tail) {
    const Parameters *parameters = u->parameters;
    for (int i = parameters->n_spans - 1; i >= 0; i--) {
        Tensor *span = span_view(p, parameters->grads, parameters->spans[completions[i].span]);
        if (is_shared(u)) {
            reduce_scatter_record(p, u->collectives, span,
                                  arena_printf(&p->arena, "reduce_scatter of bucket %d", i));
        } else {
            all_reduce_record(p, u->collectives, span,
                              arena_printf(&p->arena, "all_reduce of bucket %d", i));
        }
        if (i < tail) program_move_last(p, reduction_place(p, completions[i].node));
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

/* Of the spans that trail, or of those that do not; neighbors at a time. */
static void squares_where(Program *p, const Update *u, Tensor *squares, const bool *trails,
                          bool wanted) {
    int n = u->parameters->n_spans;
    for (int first = 0, end; first < n; first = end) {
        for (end = first + 1; end < n && trails[end] == trails[first]; end++) {
        }
        if (trails[first] == wanted) squares_of(p, u, squares, first, end);
    }
}

/* The first completion that comes with the end of backward: where the tables travel whole it is
 * their own, and so the last one; else those of all spans that backward's last node completes. */
static int tail_find(const Program *p, const Update *u, const SpanNode *completions) {
    int tail = u->parameters->n_spans;
    if (u->tables == NULL) return tail - 1;
    while (tail > 0 && completions[tail - 1].node == p->n_nodes - 1) tail--;
    return tail;
}

/* Spans whose sums are complete only once all has come. Tables that travel as rows are summed
 * before, for rows are added to what others have pulled by then. */
static bool *trailing_find(Program *p, const Update *u, const SpanNode *completions, int tail) {
    const Parameters *parameters = u->parameters;
    bool *trails = arena_alloc(&p->arena, (size_t)parameters->n_spans + 1);
    if (trails == NULL)
        return program_fail(p, STATUS_NO_ROOM, "out of memory while recording reductions");
    for (int s = 0; s < parameters->n_spans; s++) {
        trails[s] = u->tables != NULL && span_has_table(parameters, s);
    }
    for (int i = tail; i < parameters->n_spans; i++) {
        bool *it = &trails[completions[i].span];
        if (*it)
            return program_fail(p, STATUS_FAILURE,
                                "tables whose gradients end with backward cannot travel as rows");
        *it = true;
    }
    return trails;
}

static void norm_of_ranks(Program *p, const Update *u, Tensor *squares) {
    if (u->tables != NULL) tables_gather_tokens(p, u->tables);
    SpanNode *completions = completions_find(p, u->parameters);
    if (program_failed(p)) return;
    int tail = tail_find(p, u, completions),
        left = u->parameters->n_spans - tail + 1; /* the tail and the loss */
    const bool *trails = trailing_find(p, u, completions, tail);
    if (trails == NULL) return;
    if (u->tables != NULL) tables_gather_rows(p, u->tables);
    reductions_record(p, u, completions, tail);
    all_reduce_record(p, u->collectives, u->loss, "all_reduce of the loss");
    if (tail > 0 || u->tables != NULL) {
        collectives_wait_record(p, u->collectives, left + (u->tables != NULL),
                                u->parameters->grads->flat);
        squares_where(p, u, squares, trails, false);
    }
    if (u->tables != NULL) {
        tables_order(p, u->tables);
        collectives_wait_record(p, u->collectives, left, u->tables->rows);
        tables_add(p, u->tables);
    }
    collectives_wait_record(p, u->collectives, 0, u->loss);
    squares_where(p, u, squares, trails, true);
    if (is_shared(u)) squares_sum(p, u, squares);
}

/* Everything where there are no pieces. */
static void adamw_of(Program *p, const Update *u, const AdamwPiece *pieces, int n_pieces) {
    const Parameters *parameters = u->parameters;
    AdamwAttrs attrs = u->adamw;
    attrs.n_decayed = parameters->n_decayed;
    adamw_record(
        p, attrs,
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
        program_fail(p, STATUS_NO_ROOM, "out of memory while recording an update");
        return;
    }
    for (int s = first; s < end; s++) {
        Span piece = parameters_piece(parameters, s);
        pieces[s - first] =
            (AdamwPiece){piece.first, parameters_piece_place(parameters, s), piece.count};
    }
    adamw_of(p, u, pieces, end - first);
}

/* What forward reads first travels while the rest is updated, and the rest when the next program
 * runs: nn/optim/weight_prefetch.h. */
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
    Tensor *squares = program_workspace(p, (size_t)parameters->n_spans * (size_t)parameters->parts *
                                               sizeof(double));
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
