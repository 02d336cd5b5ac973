#include "core/ops/rope.h"

DECLARE_KERNELS(rope_table);

const Op rope_table_op = {
    .name = "rope_table",
    .typed_by = OUTPUT(0),
    .kernels = KERNELS(CPU_WIDE_KERNEL(rope_table),
                       CUDA_KERNEL(rope_table, DTYPE_BIT(DTYPE_F32), .speed = SPEED(3.0, 0, 0.1))),
};

Tensor *rope_table_record(Program *p, const RopeFrequencies *frequencies, Tensor *positions,
                          int64_t rows, DType dtype) {
    if (program_failed(p)) return NULL;
    if (frequencies->pairs < 1 || frequencies->pairs > ROPE_MAX_PAIRS) {
        return program_fail(p, STATUS_CONFIG, "rope: %d pairs, which is not within 1 to %d",
                            frequencies->pairs, (int)ROPE_MAX_PAIRS);
    }
    if (positions != NULL && (positions->dtype != DTYPE_I32 || tensor_count(positions) != rows)) {
        return program_fail(p, STATUS_CONFIG, "rope: positions %s do not fit %lld rows",
                            tensor_text(positions), (long long)rows);
    }
    int64_t shape[] = {rows, 2 * (int64_t)frequencies->pairs};
    Tensor *table = program_tensor(p, BUFFER_ACTIVATIONS, dtype, 2, shape);
    program_record(p, (Recording){&rope_table_op, frequencies, sizeof *frequencies,
                                  TENSORS(positions), TENSORS(table), NULL});
    return table;
}
