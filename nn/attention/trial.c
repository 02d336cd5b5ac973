#include "nn/attention/trial.h"

#include "core/fill.h"
#include "nn/attention/ranges.h"

static Status tensor_add(AttentionTrial *t, const char *name, DType dtype, int64_t a, int64_t b, int64_t c,
                         Tensor **out) {
    Section *section;
    TRY(store_section(t->store, name, BUFFER_INPUTS, dtype, &section));
    return section_add(t->store, section, name, 3, (int64_t[]){a, b, c}, out);
}

static Status tensors_create(AttentionTrial *t, const AttentionCall *call, bool backward) {
    int64_t B = call->B, T = call->Tq, C = call->NH * call->HS;
    TRY(store_create(&t->store));
    TRY(tensor_add(t, "qkv", call->dtype, B, T, 3 * C, &t->qkv));
    TRY(tensor_add(t, "out", call->dtype, B, T, C, &t->out));
    TRY(tensor_add(t, "step", DTYPE_U8, 1, 1, sizeof(StepState), &t->step));
    if (call->ranges) {
        TRY(tensor_add(t, "key ranges", DTYPE_I32, 2, B, T, &t->key_ranges));
        TRY(tensor_add(t, "query ranges", DTYPE_I32, 2, B, T, &t->query_ranges));
    }
    if (!backward) return OK;
    TRY(tensor_add(t, "dout", call->dtype, B, T, C, &t->dout));
    return tensor_add(t, "dqkv", call->dtype, B, T, 3 * C, &t->dqkv);
}

/* The nodes as nn/attention/attention.h lays them down. */
static void record(AttentionTrial *t, const AttentionCall *call, const AttentionBackend *backend) {
    Program *p = t->program;
    int64_t C = call->NH * call->HS, rows[] = {call->B, call->NH, call->Tq, call->Tk};
    AttentionAttrs attrs = {.call = *call, .k_offset = C, .v_offset = 2 * C};
    Tensor *lse = program_tensor(p, BUFFER_ACTIVATIONS, attention_lse_dtype(p->target.kind), 3, rows), *weights = NULL;
    if (backend->saves_weights) weights = program_tensor(p, BUFFER_ACTIVATIONS, call->dtype, 4, rows);
    program_record(p, (Recording){backend->forward, &attrs, sizeof attrs,
                                  TENSORS(t->qkv, t->qkv, t->qkv, t->step, t->key_ranges, t->query_ranges, NULL),
                                  TENSORS(t->out, lse, weights),
                                  program_workspace(p, backend->forward_workspace(call, &p->target))});
    if (t->dout == NULL) return;
    program_record(p, (Recording){backend->backward, &attrs, sizeof attrs,
                                  TENSORS(t->qkv, t->qkv, t->qkv, t->step, t->key_ranges, t->query_ranges, NULL, t->out,
                                          lse, weights, t->dout),
                                  TENSORS(t->dqkv, t->dqkv, t->dqkv, NULL),
                                  program_workspace(p, backend->backward_workspace(call, &p->target))});
}

Status attention_trial_create(Device *device, const AttentionCall *call, const AttentionBackend *backend, bool backward,
                              AttentionTrial *out) {
    *out = (AttentionTrial){.device = device};
    TRY(program_create(device->target, backward, &out->program));
    TRY(tensors_create(out, call, backward));
    record(out, call, backend);
    TRY(program_status(out->program));
    return plan_create(out->program, &out->plan);
}

void attention_trial_destroy(AttentionTrial *trial) {
    if (trial->plan != NULL) device_free(trial->device, trial->arena, trial->plan->bytes);
    plan_destroy(&trial->plan);
    program_destroy(&trial->program);
    store_destroy(&trial->store);
}

size_t attention_trial_bytes(const AttentionTrial *trial) { return store_bytes(trial->store) + trial->plan->bytes; }

/* Every query sees every key. */
static Status ranges_fill(AttentionTrial *trial) {
    AttentionRanges ranges = {0};
    const int64_t *shape = trial->key_ranges->shape;
    Status status = ranges_create(shape[1], shape[2], shape[2], &ranges);
    if (!failed(status)) status = device_upload(trial->device, trial->key_ranges, ranges.keys);
    if (!failed(status)) status = device_upload(trial->device, trial->query_ranges, ranges.queries);
    ranges_destroy(&ranges);
    return status;
}

Status attention_trial_bind(AttentionTrial *trial) {
    TRY(store_allocate(trial->store, trial->device));
    TRY(device_alloc(trial->device, trial->plan->bytes, "a trial of attention", &trial->arena));
    plan_bind(trial->plan, trial->program, trial->arena);
    TRY(fill_normal(trial->device, trial->qkv, 1));
    if (trial->dout != NULL) TRY(fill_normal(trial->device, trial->dout, 2));
    return trial->key_ranges == NULL ? OK : ranges_fill(trial);
}
