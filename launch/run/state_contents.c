#include "launch/run/state_contents.h"

Status state_describe_tensor(const Parameters *parameters, int kind, int index, const void *data,
                             Arena *arena, CheckpointTensor *out) {
    const Parameter *parameter = parameters->list[index];
    const Tensor *weight = parameter->weight;
    ElementRange range = parameters_state_range(parameters, kind, parameter);
    bool is_double = parameters_state(parameters, kind)->dtype == DTYPE_F64;
    DType dtype = is_double ? DTYPE_F64 : DTYPE_F32; /* a file never stores a 16-bit type */
    *out = (CheckpointTensor){
        .name =
            arena_printf(arena, "%s.%s", parameters_state_name(parameters, kind), parameter->name),
        .dtype = dtype,
        .n_dims = range.count == tensor_count(weight) ? parameter->n_dims : 1};
    if (out->name == NULL)
        return ERROR(STATUS_OUT_OF_MEMORY, "out of memory for a checkpoint's list of tensors");
    for (int d = 0; d < out->n_dims; d++) out->shape[d] = parameter->shape[d];
    if (data != NULL) out->data = (const char *)data + (size_t)range.first * dtype_size(dtype);
    return OK;
}

bool state_has(const Parameters *parameters, int kind, int index) {
    return parameters_state_range(parameters, kind, parameters->list[index]).count > 0;
}

Status state_describe(const Parameters *parameters, void *const data[STATE_KINDS_MAX], Arena *arena,
                      CheckpointContents *out) {
    int n = parameters->count, kinds = parameters_state_count(parameters);
    int64_t count = 0;
    CheckpointTensor *tensors = arena_alloc(arena, (size_t)(kinds * n) * sizeof *tensors);
    if (tensors == NULL)
        return ERROR(STATUS_OUT_OF_MEMORY, "out of memory for a checkpoint's list of tensors");
    for (int kind = 0; kind < kinds; kind++) {
        for (int i = 0; i < n; i++) {
            if (!state_has(parameters, kind, i)) continue;
            TRY(state_describe_tensor(parameters, kind, i, data[kind], arena, &tensors[count++]));
        }
    }
    *out = (CheckpointContents){.tensors = tensors, .n_tensors = count};
    return OK;
}

bool state_has_scales(const Experiment *e) { return float8_is_delayed(e->recorded.f8); }

void state_describe_scales(const Float8 *f8, CheckpointTensor out[FLOAT8_TENSORS],
                           const Tensor *tensors[FLOAT8_TENSORS]) {
    tensors[0] = f8->scale, tensors[1] = f8->history;
    out[0] = (CheckpointTensor){.name = "float8.scale"};
    out[1] = (CheckpointTensor){.name = "float8.history"};
    for (int i = 0; i < FLOAT8_TENSORS; i++) {
        out[i].dtype = tensors[i]->dtype;
        out[i].n_dims = tensors[i]->n_dims;
        for (int d = 0; d < out[i].n_dims; d++) out[i].shape[d] = tensors[i]->shape[d];
    }
}
