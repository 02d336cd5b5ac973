#include "tests/gpu/composition_helper.h"

#include "core/convert.h"

double rounded(double x, DType dtype) {
    double place;
    real_store(&place, dtype, 0, x);
    return real_load(&place, dtype, 0);
}

static bool is_same_tensor(const Tensor *a, const Tensor *b) {
    return a == NULL || b == NULL ? a == b : tensor_same_shape(a, b);
}

static bool is_same_node(const Node *a, const Node *b) {
    bool same = a->op == b->op && a->n_outputs == b->n_outputs;
    for (int i = 0; same && i < a->n_outputs; i++)
        same = is_same_tensor(a->outputs[i], b->outputs[i]);
    return same;
}

static bool is_same_program(const Program *a, const Program *b) {
    bool same = a->n_nodes == b->n_nodes;
    for (int i = 0; same && i < a->n_nodes; i++) same = is_same_node(a->nodes[i], b->nodes[i]);
    return same;
}

static void tensor_round(const Tensor *t, DType dtype) {
    double *values = tensor_data(t);
    int64_t count = tensor_count(t);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < count; i++) values[i] = rounded(values[i], dtype);
}

Status composition_replay(Device *cpu, const Program *p, const Program *held) {
    if (!is_same_program(p, held))
        return ERROR(STATUS_FAILURE, "the composition differs from dtype to dtype");
    for (int n = 0; n < p->n_nodes; n++) {
        Program one = *p;
        one.nodes = p->nodes + n, one.n_nodes = 1;
        TRY(device_replay(cpu, &one));
        for (int i = 0; i < p->nodes[n]->n_outputs; i++) {
            const Tensor *t = p->nodes[n]->outputs[i];
            if (t != NULL && t->dtype == DTYPE_F64)
                tensor_round(t, held->nodes[n]->outputs[i]->dtype);
        }
    }
    return OK;
}
