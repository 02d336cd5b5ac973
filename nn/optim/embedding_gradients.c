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

static double embeddings_bytes(const Parameters *parameters) {
    double bytes = 0;
    for (int i = 0; i < parameters->count; i++) {
        const Parameter *parameter = parameters->list[i];
        if (parameter->is_embedding && parameter->grad != NULL)
            bytes += (double)tensor_bytes(parameter->grad);
    }
    return bytes;
}

bool embedding_gradients_take(Program *p, const Parameters *parameters, const Collectives *ranks,
                              EmbeddingGradients *out) {
    Node *lookup = lookup_find(p);
    *out = (EmbeddingGradients){.lookup = lookup, .ranks = ranks};
    if (program_failed(p) || lookup == NULL || ranks == NULL || ranks->size == 1) return false;
    double rows = (double)tensor_bytes(lookup->outputs[0]) * ranks->size;
    if (2 * rows > embeddings_bytes(parameters)) return false;
    autodiff_done(lookup);
    return true;
}

/* As `mine`, but with the first dimension of all ranks; and this rank's part of it. */
static Tensor *all_ranks(Program *p, BufferKind kind, const Tensor *mine, const Collectives *ranks,
                         Tensor **part) {
    Tensor like = *mine;
    like.shape[0] *= ranks->size;
    Tensor *all = program_tensor_like(p, kind, &like);
    int64_t rows = tensor_rows(mine);
    *part = program_rows(p, all, ranks->rank * rows, rows);
    return all;
}

/* The gather joins the first reductions of backward, because at the start of the step forward waits
 * for weights in transit. */
void embedding_gradients_gather_tokens(Program *p, EmbeddingGradients *embeddings) {
    Tensor *mine = embeddings->lookup->inputs[0], *part;
    Node *anchor = NULL;
    for (int i = 0; i < p->n_nodes && anchor == NULL; i++) {
        if (p->nodes[i]->kernel->yields) anchor = p->nodes[i];
    }
    embeddings->tokens = all_ranks(p, BUFFER_ACTIVATIONS, mine, embeddings->ranks, &part);
    copy_record(p, part, mine, false);
    program_move_before(p, program_last(p), anchor);
    all_gather_record(p, embeddings->ranks, embeddings->tokens, "all_gather of tokens");
    program_move_before(p, program_last(p), anchor);
}

void embedding_gradients_gather_rows(Program *p, EmbeddingGradients *embeddings) {
    Tensor *mine = autodiff_gradient(p, embeddings->lookup->outputs[0]), *part;
    if (program_failed(p) || mine == NULL) return;
    embeddings->rows = all_ranks(p, BUFFER_ACTIVATION_GRADIENTS, mine, embeddings->ranks, &part);
    copy_record(p, part, mine, false);
    all_gather_record(p, embeddings->ranks, embeddings->rows, "all_gather of the embeddings' rows");
}

void embedding_gradients_order(Program *p, EmbeddingGradients *embeddings) {
    embeddings->order =
        embedding_order_record(p, embeddings->tokens, embeddings->lookup->inputs[1]->shape[0]);
}

void embedding_gradients_add(Program *p, const EmbeddingGradients *embeddings) {
    Tensor *const *inputs = embeddings->lookup->inputs;
    embedding_gradient_record(p, embeddings->rows, embeddings->tokens, embeddings->order, inputs[1],
                              inputs[2]);
}
