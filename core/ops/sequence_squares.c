#include "core/ops/sequence_squares.h"

DECLARE_KERNELS(sequence_squares);

int64_t sequence_squares_chunks(int64_t C, bool beta) {
    return (C + SEQUENCE_SQUARES_COLUMNS - 1) / SEQUENCE_SQUARES_COLUMNS * (beta ? 2 : 1);
}

int64_t sequence_squares_parts(int64_t sequences) {
    const int64_t enough = 128;
    return sequences >= enough ? 1 : (enough + sequences - 1) / sequences;
}

/* c[b, line, j]. */
static size_t sums_count(const Node *node) {
    const SequenceSquaresAttrs *attrs = node->attrs;
    size_t lines = attrs->beta ? 2 : 1;
    return (size_t)attrs->sequences * lines * (size_t)tensor_columns(node->inputs[0]);
}

static size_t sums_cpu(const Node *node, const Target *target) {
    (void)target;
    return sums_count(node) * dtype_size(dtype_wide(node->dtype));
}

static size_t sums_cuda(const Node *node, const Target *target) {
    const SequenceSquaresAttrs *attrs = node->attrs;
    (void)target;
    return sums_count(node) * (size_t)sequence_squares_parts(attrs->sequences) * sizeof(float);
}

const Op sequence_squares_op = {
    .name = "sequence_squares",
    .kernels = KERNELS(
        CPU_KERNEL(sequence_squares, .workspace = sums_cpu),
        CUDA_KERNEL(sequence_squares, DTYPES_REAL, .workspace = sums_cuda, .speed = MEMORY_SPEED)),
};

Node *sequence_squares_record(Program *p, const Node *norm_backward, int64_t sequences,
                              Tensor *units, Tensor *whole) {
    if (program_failed(p) || units == NULL || whole == NULL) return NULL;
    Tensor *const *of = norm_backward->inputs;
    if (sequences < 1 || tensor_rows(of[0]) % sequences != 0) {
        return program_fail(p, STATUS_CONFIG,
                            "sequence_squares: %s does not consist of %lld sequences",
                            tensor_text(of[0]), (long long)sequences);
    }
    SequenceSquaresAttrs attrs = {sequences, norm_backward->outputs[2] != NULL};
    return program_record(p, (Recording){&sequence_squares_op, &attrs, sizeof attrs,
                                         TENSORS(of[0], of[1], of[3], of[4]), TENSORS(units, whole),
                                         NULL});
}
