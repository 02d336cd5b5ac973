#include "launch/run/state_contents.h"

#include <string.h>

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
    if (out->name == NULL) return OUT_OF_MEMORY("a checkpoint's list of tensors");
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
    if (tensors == NULL) return OUT_OF_MEMORY("a checkpoint's list of tensors");
    for (int kind = 0; kind < kinds; kind++) {
        for (int i = 0; i < n; i++) {
            if (!state_has(parameters, kind, i)) continue;
            TRY(state_describe_tensor(parameters, kind, i, data[kind], arena, &tensors[count++]));
        }
    }
    *out = (CheckpointContents){.tensors = tensors, .n_tensors = count};
    return OK;
}

int64_t state_shard_place(const Parameters *parameters, int kind, int bucket) {
    return parameters_state_bucket(parameters, kind, bucket).first / parameters->sharding.ranks;
}

Tensor state_shard(const Parameters *parameters, int kind, int bucket) {
    Section *section = parameters_state(parameters, kind);
    ElementRange shard = parameters_state_shard(parameters, kind, bucket);
    int64_t first = parameters_is_sharded(parameters, kind)
                        ? state_shard_place(parameters, kind, bucket)
                        : shard.first;
    return (Tensor){.buffer = &section->buffer,
                    .offset = (size_t)first * dtype_size(section->dtype),
                    .dtype = section->dtype,
                    .n_dims = 1,
                    .shape = {shard.count}};
}

/* The data of this rank's part of parameter `index`. */
static const char *part_data(const Parameters *parameters, int kind, int index, const char *host) {
    const Parameter *parameter = parameters->list[index];
    int bucket = parameter->bucket;
    size_t each = dtype_size(parameters_state(parameters, kind)->dtype);
    Tensor shard = state_shard(parameters, kind, bucket);
    int64_t before = parameters_state_part(parameters, kind, parameter).first -
                     parameters_state_shard(parameters, kind, bucket).first,
            copied = state_shard_place(parameters, kind, bucket);
    const char *first = host != NULL ? host + (size_t)copied * each
                                     : (const char *)shard.buffer->data + shard.offset;
    return first + (size_t)before * each;
}

Status state_describe_parts(const Parameters *parameters, void *const host[STATE_KINDS_MAX],
                            Arena *arena, CheckpointContents *out) {
    int n = parameters->count, kinds = parameters_state_count(parameters);
    CheckpointTensor *tensors = arena_alloc(arena, (size_t)(kinds * n) * sizeof *tensors);
    if (tensors == NULL) return OUT_OF_MEMORY("a checkpoint's list of tensors");
    *out = (CheckpointContents){.tensors = tensors};
    for (int kind = 0; kind < kinds; kind++) {
        for (int i = 0; i < n; i++) {
            int64_t count = parameters_state_part(parameters, kind, parameters->list[i]).count;
            if (count == 0) continue;
            CheckpointTensor *tensor = &tensors[out->n_tensors++];
            TRY(state_describe_tensor(parameters, kind, i, NULL, arena, tensor));
            tensor->n_dims = 1;
            tensor->shape[0] = count;
            tensor->data = part_data(parameters, kind, i, host[kind]);
        }
    }
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

Status state_add_scales(const Experiment *e, Arena *arena, void *scales[FLOAT8_TENSORS],
                        CheckpointContents *contents) {
    const Tensor *tensors[FLOAT8_TENSORS];
    CheckpointTensor described[FLOAT8_TENSORS];
    if (!state_has_scales(e)) return OK;
    size_t n = (size_t)contents->n_tensors;
    CheckpointTensor *all = arena_alloc(arena, (n + FLOAT8_TENSORS) * sizeof *all);
    state_describe_scales(e->recorded.f8, described, tensors);
    for (int i = 0; i < FLOAT8_TENSORS && all != NULL; i++) {
        scales[i] = arena_alloc(arena, tensor_bytes(tensors[i]));
        if (scales[i] == NULL) all = NULL;
        described[i].data = scales[i];
    }
    if (all == NULL) return OUT_OF_MEMORY("a checkpoint's list of tensors");
    memcpy(all, contents->tensors, n * sizeof *all);
    memcpy(all + n, described, sizeof described);
    contents->tensors = all;
    contents->n_tensors += FLOAT8_TENSORS;
    return OK;
}

Status state_download_scales(const Experiment *e, void *const scales[FLOAT8_TENSORS]) {
    if (!state_has_scales(e)) return OK;
    TRY(device_download(e->device, scales[0], e->recorded.f8->scale));
    return device_download(e->device, scales[1], e->recorded.f8->history);
}

static Status copies_arrive(void *device) { return device_copy_wait(device); }

void state_copied_from(Device *device, CheckpointContents *contents) {
    contents->arrive = copies_arrive;
    contents->self = device;
}
