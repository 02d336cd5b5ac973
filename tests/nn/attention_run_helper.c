#include "tests/nn/attention_run_helper.h"

#include "core/plan.h"
#include "core/store.h"

#include <stdlib.h>
#include <string.h>

typedef struct Session {
    Store *store;
    Program *program;
    Plan *plan;
    Device *device;
    void *arena, *staged;
    Tensor *t[ATT_TENSORS], *step, *keys, *queries;
} Session;

static DType dtype_of(const AttentionCall *call, DeviceKind device, int which) {
    if (which == ATT_LSE) return attention_lse_dtype(device);
    if (which == ATT_BIAS && call->bias == BIAS_BOOLEAN) return DTYPE_U8;
    if (which != ATT_BIAS && which != ATT_DBIAS) return call->dtype;
    return call->dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
}

/* Element i of host memory of a dtype. */
static void element_set(void *memory, DType dtype, int64_t i, double value) {
    switch (dtype) {
    case DTYPE_F64: ((double *)memory)[i] = value; break;
    case DTYPE_F32: ((float *)memory)[i] = (float)value; break;
    case DTYPE_F16: ((_Float16 *)memory)[i] = (_Float16)value; break;
    case DTYPE_BF16: {
        float wide = (float)attention_rounded(value, DTYPE_BF16);
        memcpy((uint16_t *)memory + i, (uint16_t *)&wide + 1, sizeof(uint16_t));
        break;
    }
    default: ((uint8_t *)memory)[i] = value != 0;
    }
}

static double element_get(const void *memory, DType dtype, int64_t i) {
    switch (dtype) {
    case DTYPE_F64: return ((const double *)memory)[i];
    case DTYPE_F32: return (double)((const float *)memory)[i];
    case DTYPE_F16: return (double)((const _Float16 *)memory)[i];
    default: {
        uint32_t bits = (uint32_t)((const uint16_t *)memory)[i] << 16;
        float wide;
        memcpy(&wide, &bits, sizeof wide);
        return (double)wide;
    }
    }
}

static Status tensors_declare(Session *s, const AttentionCall *call, const AttentionData *data) {
    int64_t step_bytes = sizeof(StepState);
    TRY(store_create(&s->store));
    for (int i = 0; i < ATT_TENSORS; i++) {
        Section *own;
        TRY(store_section(s->store, "t", BUFFER_INPUTS, dtype_of(call, s->device->target.kind, i), &own));
        TRY(section_add(s->store, own, "t", 1, &data->counts[i], &s->t[i]));
    }
    Section *bytes, *integers;
    TRY(store_section(s->store, "bytes", BUFFER_INPUTS, DTYPE_U8, &bytes));
    TRY(store_section(s->store, "integers", BUFFER_INPUTS, DTYPE_I32, &integers));
    TRY(section_add(s->store, bytes, "step", 1, &step_bytes, &s->step));
    TRY(section_add(s->store, integers, "keys", 3, (int64_t[]){2, call->B, call->Tq}, &s->keys));
    TRY(section_add(s->store, integers, "queries", 3, (int64_t[]){2, call->B, call->Tk}, &s->queries));
    return store_allocate(s->store, s->device);
}

static Tensor *where(bool wanted, Tensor *t) { return wanted ? t : NULL; }

static Status nodes_record(Session *s, const AttentionBackend *backend, const AttentionCall *call) {
    AttentionAttrs attrs = {.call = *call};
    Program *p = s->program;
    Tensor **t = s->t, *weights = NULL;
    Tensor *keys = where(call->ranges, s->keys), *queries = where(call->ranges, s->queries);
    Tensor *bias = where(call->bias != BIAS_NONE, t[ATT_BIAS]);
    Tensor *dbias = where(call->bias == BIAS_ADDITIVE, t[ATT_DBIAS]);
    int64_t weights_shape[] = {call->B, call->NH, call->Tq, call->Tk};
    if (backend->saves_weights) weights = program_tensor(p, BUFFER_ACTIVATIONS, call->dtype, 4, weights_shape);
    program_record(p, (Recording){backend->forward, &attrs, sizeof attrs,
                                  TENSORS(t[ATT_Q], t[ATT_K], t[ATT_V], s->step, keys, queries, bias),
                                  TENSORS(t[ATT_OUT], t[ATT_LSE], weights),
                                  program_workspace(p, backend->forward_workspace(call, &p->target))});
    program_record(p, (Recording){backend->backward, &attrs, sizeof attrs,
                                  TENSORS(t[ATT_Q], t[ATT_K], t[ATT_V], s->step, keys, queries, bias, t[ATT_OUT],
                                          t[ATT_LSE], weights, t[ATT_DOUT]),
                                  TENSORS(t[ATT_DQ], t[ATT_DK], t[ATT_DV], dbias),
                                  program_workspace(p, backend->backward_workspace(call, &p->target))});
    return program_status(p);
}

/* Every byte 0xFF, which is a NaN in each dtype. */
static Status arena_poison(Session *s) {
    Buffer buffer = {.data = s->arena, .bytes = s->plan->bytes};
    Tensor all = {.buffer = &buffer, .dtype = DTYPE_U8, .n_dims = 1, .shape = {(int64_t)s->plan->bytes}};
    memset(s->staged, 0xFF, s->plan->bytes);
    return device_upload(s->device, &all, s->staged);
}

static Status stage(Session *s, const AttentionData *data) {
    size_t room = s->plan->bytes + 1;
    for (int i = 0; i < ATT_TENSORS; i++) room = tensor_bytes(s->t[i]) > room ? tensor_bytes(s->t[i]) : room;
    s->staged = malloc(room);
    if (s->staged == NULL) return ERROR(STATUS_FAILURE, "out of memory for a test");
    TRY(arena_poison(s));
    for (int which = 0; which < ATT_TENSORS; which++) {
        if (data->counts[which] == 0) continue;
        for (int64_t i = 0; i < data->counts[which]; i++) {
            element_set(s->staged, s->t[which]->dtype, i, data->values[which][i]);
        }
        TRY(device_upload(s->device, s->t[which], s->staged));
    }
    if (data->ranges.keys == NULL) return OK;
    TRY(device_upload(s->device, s->keys, data->ranges.keys));
    return device_upload(s->device, s->queries, data->ranges.queries);
}

static Status session_run(Session *s, const AttentionBackend *backend, const AttentionCall *call, const StepState *step,
                          AttentionData *data) {
    TRY(tensors_declare(s, call, data));
    TRY(program_create(s->device->target, true, &s->program));
    TRY(nodes_record(s, backend, call));
    TRY(plan_create(s->program, &s->plan));
    TRY(device_alloc(s->device, s->plan->bytes, "a test", &s->arena));
    plan_bind(s->plan, s->program, s->arena);
    TRY(stage(s, data));
    TRY(device_upload(s->device, s->step, step));
    TRY(device_replay(s->device, s->program));
    for (int which = ATT_OUT; which < ATT_TENSORS; which++) {
        if (data->counts[which] == 0) continue;
        TRY(device_download(s->device, s->staged, s->t[which]));
        for (int64_t i = 0; i < data->counts[which]; i++) {
            data->values[which][i] = element_get(s->staged, s->t[which]->dtype, i);
        }
    }
    return OK;
}

Status attention_by(const AttentionBackend *backend, const AttentionCall *call, Device *device, const StepState *step,
                    AttentionData *data) {
    Session session = {.device = device};
    Status status = session_run(&session, backend, call, step, data);
    if (session.arena != NULL) device_free(device, session.arena, session.plan->bytes);
    free(session.staged);
    plan_destroy(&session.plan);
    program_destroy(&session.program);
    store_destroy(&session.store);
    return status;
}

const AttentionBackend *attention_backend(const char *name) {
    for (int i = 0; attention_backends[i] != NULL; i++) {
        const AttentionBackend *backend = attention_backends[i];
        if (backend->device == DEVICE_CPU && strcmp(backend->name, name) == 0) return backend;
    }
    return NULL;
}
