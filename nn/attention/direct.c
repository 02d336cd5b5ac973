#include "nn/attention/direct.h"

#include <stdlib.h>

static Status vector_add(Sdpa *s, const char *name, DType dtype, int64_t count, Tensor **out) {
    Section *section;
    TRY(store_section(s->store, name, BUFFER_INPUTS, dtype, &section));
    return section_add(s->store, section, name, 1, &count, out);
}

static int64_t extent_q(const AttentionCall *c, HeadLayout layout) {
    return attention_extent(layout, c->B, c->NH, c->Tq, c->HS);
}

static int64_t extent_k(const AttentionCall *c, HeadLayout layout) {
    return attention_extent(layout, c->B, c->NH_kv, c->Tk, c->HS);
}

static Status masks_declare(Sdpa *s) {
    const AttentionCall *c = &s->call;
    if (c->ranges) {
        TRY(vector_add(s, "key_ranges", DTYPE_I32, 2 * c->B * c->Tq, &s->key_ranges));
        TRY(vector_add(s, "query_ranges", DTYPE_I32, 2 * c->B * c->Tk, &s->query_ranges));
    }
    if (c->bias == BIAS_NONE) return OK;
    TRY(vector_add(s, "bias", attention_bias_dtype(c), attention_bias_extent(c), &s->bias));
    if (c->bias != BIAS_ADDITIVE || !c->training) return OK;
    return vector_add(s, "dbias", attention_bias_dtype(c), attention_bias_extent(c), &s->dbias);
}

static Status tensors_declare(Sdpa *s) {
    const AttentionCall *c = &s->call;
    TRY(store_create(&s->store));
    TRY(vector_add(s, "q", c->dtype, extent_q(c, c->q), &s->q));
    TRY(vector_add(s, "k", c->dtype, extent_k(c, c->k), &s->k));
    TRY(vector_add(s, "v", c->dtype, extent_k(c, c->v), &s->v));
    TRY(vector_add(s, "step", DTYPE_U8, sizeof(StepState), &s->step));
    TRY(vector_add(s, "out", c->dtype, extent_q(c, c->out), &s->out));
    TRY(vector_add(s, "lse", attention_lse_dtype(s->device->target.kind), c->B * c->NH * c->Tq, &s->lse));
    TRY(masks_declare(s));
    if (!c->training) return OK;
    TRY(vector_add(s, "dout", c->dtype, extent_q(c, c->out), &s->dout));
    TRY(vector_add(s, "dq", c->dtype, extent_q(c, c->q), &s->dq));
    TRY(vector_add(s, "dk", c->dtype, extent_k(c, c->k), &s->dk));
    return vector_add(s, "dv", c->dtype, extent_k(c, c->v), &s->dv);
}

static Status weights_declare(Sdpa *s, Tensor **out) {
    const AttentionCall *c = &s->call;
    Section *section;
    if (!s->backend->saves_weights) return OK;
    TRY(store_section(s->store, "weights", BUFFER_ACTIVATIONS, c->dtype, &section));
    return section_add(s->store, section, "weights", 4, (int64_t[]){c->B, c->NH, c->Tq, c->Tk}, out);
}

static Status programs_record(Sdpa *s, Tensor *weights) {
    AttentionAttrs attrs = {.call = s->call};
    Target target = s->device->target;
    TRY(program_create(target, s->call.training, &s->programs[0]));
    program_record(s->programs[0],
                   (Recording){s->backend->forward, &attrs, sizeof attrs,
                               TENSORS(s->q, s->k, s->v, s->step, s->key_ranges, s->query_ranges, s->bias),
                               TENSORS(s->out, s->lse, weights),
                               program_workspace(s->programs[0], s->backend->forward_workspace(&s->call, &target))});
    TRY(program_status(s->programs[0]));
    if (!s->call.training) return OK;
    TRY(program_create(target, true, &s->programs[1]));
    program_record(s->programs[1],
                   (Recording){s->backend->backward, &attrs, sizeof attrs,
                               TENSORS(s->q, s->k, s->v, s->step, s->key_ranges, s->query_ranges, s->bias, s->out,
                                       s->lse, weights, s->dout),
                               TENSORS(s->dq, s->dk, s->dv, s->dbias),
                               program_workspace(s->programs[1], s->backend->backward_workspace(&s->call, &target))});
    return program_status(s->programs[1]);
}

static Status scratch_take(Sdpa *s) {
    for (int i = 0; i < 2 && s->programs[i] != NULL; i++) {
        TRY(plan_create(s->programs[i], &s->plans[i]));
        if (s->plans[i]->bytes > s->scratch_bytes) s->scratch_bytes = s->plans[i]->bytes;
    }
    TRY(device_alloc(s->device, s->scratch_bytes, "attention's scratch", &s->scratch));
    for (int i = 0; i < 2 && s->programs[i] != NULL; i++) plan_bind(s->plans[i], s->programs[i], s->scratch);
    s->bytes = store_bytes(s->store) + s->scratch_bytes;
    return OK;
}

static Status sdpa_build(Sdpa *s) {
    Tensor *weights = NULL;
    TRY(tensors_declare(s));
    TRY(weights_declare(s, &weights));
    TRY(store_allocate(s->store, s->device));
    TRY(programs_record(s, weights));
    return scratch_take(s);
}

Status sdpa_create_with(Device *device, const AttentionCall *call, const AttentionBackend *backend, Sdpa **out) {
    *out = NULL;
    TRY(attention_check(call));
    const char *refusal = backend->refuses(call, &device->target);
    if (refusal != NULL) return ERROR(STATUS_CONFIG, "attention: %s: %s", backend->name, refusal);
    Sdpa *s = *out = calloc(1, sizeof *s);
    if (s == NULL) return ERROR(STATUS_FAILURE, "out of memory for attention");
    s->call = *call;
    s->backend = backend;
    s->device = device;
    Status status = sdpa_build(s);
    if (failed(status)) sdpa_destroy(out);
    return status;
}

Status sdpa_create(Device *device, const AttentionCall *call, const AttentionChoice *choice, Sdpa **out) {
    AttentionVerdict verdicts[ATTENTION_MAX_BACKENDS];
    const AttentionBackend *backend = NULL;
    int n_verdicts;
    *out = NULL;
    TRY(attention_check(call));
    TRY(attention_pick(call, &device->target, choice, verdicts, &n_verdicts, &backend));
    return sdpa_create_with(device, call, backend, out);
}

void sdpa_destroy(Sdpa **sdpa) {
    if (sdpa == NULL || *sdpa == NULL) return;
    Sdpa *s = *sdpa;
    if (s->scratch != NULL) device_free(s->device, s->scratch, s->scratch_bytes);
    for (int i = 0; i < 2; i++) {
        plan_destroy(&s->plans[i]);
        program_destroy(&s->programs[i]);
    }
    store_destroy(&s->store);
    free(s);
    *sdpa = NULL;
}

Status sdpa_forward(Sdpa *s) { return device_replay(s->device, s->programs[0]); }

Status sdpa_backward(Sdpa *s) {
    if (!s->call.training) return ERROR(STATUS_CONFIG, "attention: backward needs a call with training set");
    return device_replay(s->device, s->programs[1]);
}
