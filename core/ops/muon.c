#include "core/ops/muon.h"

#include <math.h>
#include <stdlib.h>

DECLARE_KERNELS(muon);

MuonCoefficients muon_coefficients(MuonIteration iteration, int index) {
    static const MuonCoefficients polar_express[MUON_ITERATIONS] = {
        {8.156554524902461, -22.48329292557795, 15.878769915207462},
        {4.042929935166739, -2.808917465908714, 0.5000178451051316},
        {3.8916678022926607, -2.772484153217685, 0.5060648178503393},
        {3.285753657755655, -2.3681294933425376, 0.46449024233003106},
        {2.3465413258596377, -1.7097828382687081, 0.42323551169305323},
    };
    static const MuonCoefficients quintic = {3.4445, -4.7750, 2.0315};
    return iteration == MUON_QUINTIC ? quintic : polar_express[index];
}

double muon_norm_factor(MuonIteration iteration) { return iteration == MUON_QUINTIC ? 1 : 1.02; }

static size_t take(size_t *at, int64_t elements, size_t each) {
    size_t place = *at;
    *at += ((size_t)elements * each + 255) / 256 * 256;
    return place;
}

double muon_flops(const MuonMatrix *shape, bool gram) {
    double r = (double)muon_side(shape), elements = (double)(shape->rows * shape->columns),
           wide = 2 * r * elements, square = 2 * r * r * r;
    return gram ? 4 * wide + 14 * square : MUON_ITERATIONS * (2 * wide + square);
}

/* F32 keeps to the formula, and its error to f32's. */
static bool uses_gram(const MuonMatrix *shape, size_t each) {
    return each == 2 && muon_flops(shape, true) < muon_flops(shape, false);
}

MuonPlaces muon_places(const MuonMatrix *shape, int count, size_t each) {
    int64_t side = muon_side(shape), n = count, elements = n * shape->rows * shape->columns;
    MuonPlaces places = {.gram = uses_gram(shape, each)};
    places.x = take(&places.bytes, elements, each);
    places.y = take(&places.bytes, elements, each);
    places.a = take(&places.bytes, n * side * side, each);
    places.b = take(&places.bytes, n * side * side, each);
    places.q = take(&places.bytes, places.gram ? n * side * side : 0, each);
    places.spare = take(&places.bytes, places.gram ? n * side * side : 0, each);
    places.parts = take(&places.bytes, n * MUON_NORM_PARTS, sizeof(float));
    places.sums = take(&places.bytes, n * muon_long_side(shape), sizeof(float));
    places.scales = take(&places.bytes, n, sizeof(float));
    return places;
}

static int64_t greater(int64_t a, int64_t b) { return a > b ? a : b; }

MuonMost muon_most(const MuonWork *work) {
    MuonMost most = {0};
    for (int i = 0; i < work->n_matrices; i++) {
        const MuonMatrix *m = &work->matrices[i];
        most.elements = greater(most.elements, m->rows * m->columns);
        most.side = greater(most.side, muon_side(m));
        most.rows = greater(most.rows, m->rows);
    }
    return most;
}

static size_t workspace_cpu(const Node *node, const Target *target) {
    (void)target;
    MuonMost most = muon_most(node->attrs);
    size_t elements = 2 * (size_t)(most.elements + most.side * most.side);
    return (size_t)most.rows * sizeof(double) + elements * dtype_size(dtype_wide(node->dtype));
}

/* The batches run one after the other in the same memory. */
static size_t workspace_cuda(const Node *node, const Target *target) {
    (void)target;
    const MuonWork *work = node->attrs;
    size_t most = 0;
    for (int i = 0; i < work->n_batches; i++) {
        MuonBatch batch = work->batches[i];
        size_t bytes =
            muon_places(&work->matrices[batch.first], batch.count, dtype_size(node->dtype)).bytes;
        if (bytes > most) most = bytes;
    }
    return most;
}

/* Bytes: the gradient and the momentum are read twice, X by the update; the products' operands fit
 * the cache in part, so the speed of the products includes them. */
static Cost muon_cost(const Node *node) {
    const MuonWork *work = node->attrs;
    const bool is_cuda = node->kernel->device == DEVICE_CUDA;
    Cost cost = {0};
    double wide = (double)dtype_size(node->inputs[0]->dtype),
           each = (double)dtype_size(node->outputs[0]->dtype), masters = node->outputs[1] != NULL;
    for (int i = 0; i < work->n_matrices; i++) {
        const MuonMatrix *m = &work->matrices[i];
        double elements = (double)(m->rows * m->columns);
        cost.flops += muon_flops(m, is_cuda && uses_gram(m, (size_t)each));
        cost.bytes += elements * (5 * wide + 4 * each + 2 * wide * masters);
    }
    return cost;
}

/* The rate in 16 bits is that of the 85 M weights of GPT-2 124M: 3.1 ms on an H200. */
static const Op muon_op = {
    .name = "muon",
    .cost = muon_cost,
    .typed_by = OUTPUT(0),
    .kernels = KERNELS(CPU_KERNEL(muon, .workspace = workspace_cpu),
                       CUDA_KERNEL(muon, DTYPES_REAL, .workspace = workspace_cuda,
                                   .speed = {[PRECISION_HALF] = {60.0, 0.80, 0.80},
                                             [PRECISION_TF32] = {60.0, 0.60, 0.80},
                                             [PRECISION_SINGLE] = {60.0, 0.75, 0.80}})),
};

static int compare(int64_t a, int64_t b) { return a < b ? -1 : a > b; }

static int by_shape(const void *a, const void *b) {
    const MuonMatrix *x = a, *y = b;
    int side = compare(muon_side(x), muon_side(y)),
        longer = compare(muon_long_side(x), muon_long_side(y)), tall = compare(x->rows, y->rows);
    return side != 0 ? side : longer != 0 ? longer : tall != 0 ? tall : compare(x->first, y->first);
}

static bool batch_takes(const MuonBatch *batch, const MuonMatrix *matrices, const MuonMatrix *next,
                        size_t each) {
    const MuonMatrix *shape = &matrices[batch->first];
    int64_t elements = (batch->count + 1) * next->rows * next->columns;
    return muon_side(shape) == muon_side(next) && muon_long_side(shape) == muon_long_side(next) &&
           batch->count < MUON_BATCH_MATRICES && elements * (int64_t)each <= MUON_BATCH_BYTES;
}

/* Sorts the matrices, so that those of the same sides are adjacent, and cuts them into batches. */
static bool work_plan(Program *p, const MuonTensors *t, MuonWork *work) {
    int n = t->n_matrices;
    size_t each = dtype_size(t->weight->dtype);
    MuonMatrix *matrices = arena_alloc(&p->arena, ((size_t)n + 1) * sizeof *matrices);
    MuonBatch *batches = arena_alloc(&p->arena, ((size_t)n + 1) * sizeof *batches);
    if (matrices == NULL || batches == NULL) return false;
    for (int i = 0; i < n; i++) matrices[i] = t->matrices[i];
    qsort(matrices, (size_t)n, sizeof *matrices, by_shape);
    work->matrices = matrices, work->batches = batches, work->n_matrices = n;
    for (int i = 0; i < n; i++) {
        MuonBatch *last = work->n_batches == 0 ? NULL : &batches[work->n_batches - 1];
        if (last != NULL && batch_takes(last, matrices, &matrices[i], each))
            last->count++;
        else
            batches[work->n_batches++] = (MuonBatch){i, 1};
    }
    return true;
}

static bool is_rate(double beta) { return beta >= 0 && beta < 1; }

void muon_record(Program *p, MuonAttrs attrs, MuonTensors t) {
    if (program_failed(p) || t.grad == NULL || t.n_matrices == 0) return;
    MuonWork work = {.attrs = attrs};
    if (!is_rate(attrs.momentum) || !is_rate(attrs.momentum_start) || !is_rate(attrs.beta2)) {
        program_fail(p, STATUS_CONFIG, "muon: momentum %g and %g and beta2 %g must be in [0, 1)",
                     attrs.momentum_start, attrs.momentum, attrs.beta2);
        return;
    }
    if (!work_plan(p, &t, &work)) {
        program_fail(p, STATUS_OUT_OF_MEMORY, "out of memory while recording");
        return;
    }
    Recording recording = {
        &muon_op,
        &work,
        sizeof work,
        TENSORS(t.grad, t.norm, t.step),
        TENSORS(t.weight, t.master, t.momentum, t.row_moments, t.first_nonfinite),
        NULL};
    program_record(p, recording);
}
