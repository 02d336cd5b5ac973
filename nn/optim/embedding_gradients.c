#include "nn/optim/embedding_gradients.h"

#include "core/autodiff.h"
#include "core/ops/collective.h"
#include "core/ops/copy.h"
#include "core/ops/embedding.h"

static Node *lookup_find(const Program *p) {
    for (int i = 0; i < p->n_nodes; i++) {
        if (p->nodes[i]->op == &embedding_op) return p->nodes[i];
    }
    return NULL;
}

static double tables_bytes(const Parameters *parameters) {
    double bytes = 0;
    for (int i = 0; i < parameters->count; i++) {
        const Parameter *parameter = parameters->list[i];
        if (parameter->is_table && parameter->grad != NULL)
            bytes += (double)tensor_bytes(parameter->grad);
    }
    return bytes;
}

bool tables_take(Program *p, const Parameters *parameters, const Collectives *ranks, Tables *out) {
    Node *lookup = lookup_find(p);
    *out = (Tables){.lookup = lookup, .ranks = ranks};
    if (program_failed(p) || lookup == NULL || ranks == NULL || ranks->size == 1) return false;
    double rows = (double)tensor_bytes(lookup->outputs[0]) * ranks->size;
    if (2 * rows > tables_bytes(parameters)) return false;
    autodiff_done(lookup);
    return true;
}

/* Like `mine`, its first dimension that of all ranks, and this rank's part of it. */
static Tensor *everybodys(Program *p, BufferKind kind, const Tensor *mine, const Collectives *ranks,
                          Tensor **part) {
    Tensor like = *mine;
    like.shape[0] *= ranks->size;
    Tensor *all = program_tensor_like(p, kind, &like);
    int64_t rows = tensor_rows(mine);
    *part = program_rows(p, all, ranks->rank * rows, rows);
    return all;
}

/* Among the first sums of backward: where forward begins, weights are on their way that it waits
 * for. */
void tables_gather_tokens(Program *p, Tables *tables) {
    Tensor *mine = tables->lookup->inputs[0], *part;
    int place = 0;
    while (place < p->n_nodes && !p->nodes[place]->kernel->yields) place++;
    tables->tokens = everybodys(p, BUFFER_ACTIVATIONS, mine, tables->ranks, &part);
    copy_record(p, part, mine, false);
    program_move_last(p, place);
    all_gather_record(p, tables->ranks, tables->tokens, "all_gather of tokens");
    program_move_last(p, place + 1);
}

void tables_gather_rows(Program *p, Tables *tables) {
    Tensor *mine = autodiff_gradient(p, tables->lookup->outputs[0]), *part;
    if (program_failed(p) || mine == NULL) return;
    tables->rows = everybodys(p, BUFFER_ACTIVATION_GRADIENTS, mine, tables->ranks, &part);
    copy_record(p, part, mine, false);
    all_gather_record(p, tables->ranks, tables->rows, "all_gather of the tables' rows");
}

void tables_order(Program *p, Tables *tables) {
    tables->order = embedding_order_record(p, tables->tokens, tables->lookup->inputs[1]->shape[0]);
}

void tables_add(Program *p, const Tables *tables) {
    Tensor *const *inputs = tables->lookup->inputs;
    embedding_gradient_record(p, tables->rows, tables->tokens, tables->order, inputs[1], inputs[2]);
}
