#include "tests/nn/attention_helper.h"

#include "core/plan.h"
#include "core/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static HeadLayout layout_of(int64_t T, int64_t NH, int64_t HS, bool head_major) {
    return head_major ? (HeadLayout){.batch = NH * T * HS, .token = HS, .head = T * HS}
                      : (HeadLayout){.batch = T * NH * HS, .token = NH * HS, .head = HS};
}

AttentionCall attention_call_of(AttentionShape s, DType dtype) {
    return (AttentionCall){
        .B = s.B,
        .NH = s.NH,
        .NH_kv = s.NH_kv,
        .Tq = s.Tq,
        .Tk = s.Tk,
        .HS = s.HS,
        .dtype = dtype,
        .scale = s.scale > 0 ? s.scale : (float)(1 / sqrt((double)s.HS)),
        .causal = s.causal,
        .window = s.window,
        .dropout = s.dropout,
        .stream = 9,
        .training = true,
        .q = layout_of(s.Tq, s.NH, s.HS, s.head_major),
        .k = layout_of(s.Tk, s.NH_kv, s.HS, s.head_major),
        .v = layout_of(s.Tk, s.NH_kv, s.HS, s.head_major),
        .out = layout_of(s.Tq, s.NH, s.HS, s.head_major),
    };
}

static int64_t count_of(const AttentionCall *c, int which) {
    switch (which) {
    case ATT_LSE: return c->B * c->NH * c->Tq;
    case ATT_K:
    case ATT_V:
    case ATT_DK:
    case ATT_DV: return c->B * c->NH_kv * c->Tk * c->HS;
    default: return c->B * c->NH * c->Tq * c->HS;
    }
}

bool attention_data_create(const AttentionCall *call, double magnitude, AttentionData *out) {
    bool has_room = true;
    for (int which = 0; which < ATT_TENSORS; which++) {
        int64_t count = out->counts[which] = count_of(call, which);
        double *values = out->values[which] = malloc((size_t)count * sizeof *values);
        has_room &= values != NULL;
        for (int64_t i = 0; values != NULL && i < count; i++) {
            double unit = 2.0 * (double)rng_uniform(philox(77, (uint64_t)i, (uint64_t)which).word[1]) - 1.0;
            values[i] = which <= ATT_DOUT ? (double)(float)(magnitude * unit) : NAN;
        }
    }
    return has_room;
}

void attention_data_destroy(AttentionData *data) {
    for (int which = 0; which < ATT_TENSORS; which++) free(data->values[which]);
}

static double *row_of(double *x, HeadLayout layout, int64_t b, int64_t h, int64_t t) {
    return x + b * layout.batch + h * layout.head + t * layout.token;
}

/* Whether query i sees key j, by the words of nn/attention/sdpa.h. */
static bool sees(const AttentionCall *c, int64_t i, int64_t j) {
    if (c->causal == CAUSAL_NONE) return true;
    int64_t diagonal = c->causal == CAUSAL_UPPER_LEFT ? i : i + c->Tk - c->Tq;
    return j <= diagonal && (c->window == 0 || j > diagonal - c->window);
}

/* What dropout multiplies a weight by. */
static double kept(const AttentionCall *c, const StepState *step, int64_t b, int64_t h, int64_t i, int64_t j) {
    if (c->dropout <= 0) return 1;
    uint64_t index = (uint64_t)((((step->first_sample + b) * c->NH + h) * c->Tq + i) * c->Tk + j);
    uint32_t word = philox(step->seed, index / 4, rng_counter(step->step, c->stream)).word[index % 4];
    return word < rng_threshold(c->dropout) ? 0 : 1 / (1 - c->dropout);
}

static double dot(const double *a, const double *b, int64_t count) {
    double sum = 0;
    for (int64_t d = 0; d < count; d++) sum += a[d] * b[d];
    return sum;
}

static void add_scaled(double *to, double factor, const double *x, int64_t count) {
    for (int64_t d = 0; d < count; d++) to[d] += factor * x[d];
}

/* One query: its softmax into p (Tk), the log of the sum of its exponentials. */
static double softmax_of(const AttentionCall *c, AttentionData *data, int64_t b, int64_t h, int64_t i, double *p) {
    const double *q = row_of(data->values[ATT_Q], c->q, b, h, i);
    double maximum = -INFINITY, sum = 0;
    for (int64_t j = 0; j < c->Tk; j++) {
        const double *k = row_of(data->values[ATT_K], c->k, b, h / (c->NH / c->NH_kv), j);
        p[j] = sees(c, i, j) ? (double)c->scale * dot(q, k, c->HS) : -INFINITY;
        maximum = fmax(maximum, p[j]);
    }
    for (int64_t j = 0; j < c->Tk; j++) sum += p[j] = isinf(p[j]) ? 0 : exp(p[j] - maximum);
    for (int64_t j = 0; j < c->Tk && sum > 0; j++) p[j] /= sum;
    return maximum + log(sum);
}

/* dS = P (M dP - sum P M dP); dq += scale dS k, dk += scale dS q, dv += M P dout. */
static void query_reference(const AttentionCall *c, const StepState *step, AttentionData *data, int64_t b, int64_t h,
                            int64_t i, double *p) {
    int64_t kv = h / (c->NH / c->NH_kv), HS = c->HS;
    data->values[ATT_LSE][(b * c->NH + h) * c->Tq + i] = softmax_of(c, data, b, h, i, p);
    double *out = row_of(data->values[ATT_OUT], c->out, b, h, i), *dq = row_of(data->values[ATT_DQ], c->q, b, h, i);
    const double *dout = row_of(data->values[ATT_DOUT], c->out, b, h, i);
    const double *q = row_of(data->values[ATT_Q], c->q, b, h, i);
    double sum = 0;
    for (int64_t j = 0; j < c->Tk; j++) {
        double mask = kept(c, step, b, h, i, j);
        const double *v = row_of(data->values[ATT_V], c->v, b, kv, j);
        add_scaled(out, mask * p[j], v, HS);
        add_scaled(row_of(data->values[ATT_DV], c->v, b, kv, j), mask * p[j], dout, HS);
        sum += p[j] * mask * dot(dout, v, HS);
    }
    for (int64_t j = 0; j < c->Tk; j++) {
        double mask = kept(c, step, b, h, i, j);
        double dp = mask * dot(dout, row_of(data->values[ATT_V], c->v, b, kv, j), HS);
        double ds = p[j] * (dp - sum) * (double)c->scale;
        add_scaled(dq, ds, row_of(data->values[ATT_K], c->k, b, kv, j), HS);
        add_scaled(row_of(data->values[ATT_DK], c->k, b, kv, j), ds, q, HS);
    }
}

void attention_reference(const AttentionCall *c, const StepState *step, AttentionData *data) {
    double *p = malloc((size_t)c->Tk * sizeof *p);
    for (int which = ATT_OUT; which < ATT_TENSORS; which++) {
        memset(data->values[which], 0, (size_t)data->counts[which] * sizeof(double));
    }
    for (int64_t index = 0; p != NULL && index < c->B * c->NH * c->Tq; index++) {
        query_reference(c, step, data, index / c->Tq / c->NH, index / c->Tq % c->NH, index % c->Tq, p);
    }
    free(p);
}

/* The tensors of one call in a store, and the two nodes over them. */
static Status nodes_record(const AttentionBackend *backend, const AttentionCall *call, Program *p, Tensor *t[],
                           Tensor *step) {
    AttentionAttrs attrs = {.call = *call};
    int64_t weights_shape[] = {call->B, call->NH, call->Tq, call->Tk};
    Tensor *weights =
        backend->saves_weights ? program_tensor(p, BUFFER_ACTIVATIONS, call->dtype, 4, weights_shape) : NULL;
    program_record(p, (Recording){backend->forward, &attrs, sizeof attrs, TENSORS(t[ATT_Q], t[ATT_K], t[ATT_V], step),
                                  TENSORS(t[ATT_OUT], t[ATT_LSE], weights),
                                  program_workspace(p, backend->forward_workspace(call, &p->target))});
    program_record(
        p, (Recording){backend->backward, &attrs, sizeof attrs,
                       TENSORS(t[ATT_Q], t[ATT_K], t[ATT_V], step, t[ATT_OUT], t[ATT_LSE], weights, t[ATT_DOUT]),
                       TENSORS(t[ATT_DQ], t[ATT_DK], t[ATT_DV]),
                       program_workspace(p, backend->backward_workspace(call, &p->target))});
    return program_status(p);
}

static void copy_in(const Tensor *t, const double *values, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        if (t->dtype == DTYPE_F64) ((double *)tensor_data(t))[i] = values[i];
        if (t->dtype == DTYPE_F32) ((float *)tensor_data(t))[i] = (float)values[i];
    }
}

static void copy_out(const Tensor *t, double *values, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        values[i] = t->dtype == DTYPE_F64 ? ((double *)tensor_data(t))[i] : (double)((float *)tensor_data(t))[i];
    }
}

typedef struct Session {
    Store *store;
    Program *program;
    Plan *plan;
    void *arena;
    Tensor *t[ATT_TENSORS], *step;
} Session;

static Status session_run(Session *s, const AttentionBackend *backend, const AttentionCall *call, Device *device,
                          const StepState *step, AttentionData *data) {
    Section *reals, *bytes;
    TRY(store_create(&s->store));
    TRY(store_section(s->store, "reals", BUFFER_INPUTS, call->dtype, &reals));
    TRY(store_section(s->store, "bytes", BUFFER_INPUTS, DTYPE_U8, &bytes));
    for (int i = 0; i < ATT_TENSORS; i++) TRY(section_add(s->store, reals, "t", 1, &data->counts[i], &s->t[i]));
    TRY(section_add(s->store, bytes, "step", 1, (int64_t[]){sizeof *step}, &s->step));
    TRY(store_allocate(s->store, device));
    TRY(program_create(device->target, true, &s->program));
    TRY(nodes_record(backend, call, s->program, s->t, s->step));
    TRY(plan_create(s->program, &s->plan));
    TRY(device_alloc(device, s->plan->bytes, "a test", &s->arena));
    plan_bind(s->plan, s->program, s->arena);
    TRY(device_upload(device, s->step, step));
    memset(s->arena, 0xFF, s->plan->bytes);
    for (int i = 0; i < ATT_TENSORS; i++) copy_in(s->t[i], data->values[i], data->counts[i]);
    TRY(device_replay(device, s->program));
    for (int i = ATT_OUT; i < ATT_TENSORS; i++) copy_out(s->t[i], data->values[i], data->counts[i]);
    return OK;
}

Status attention_by(const AttentionBackend *backend, const AttentionCall *call, Device *device, const StepState *step,
                    AttentionData *data) {
    Session session = {0};
    Status status = session_run(&session, backend, call, device, step, data);
    if (session.arena != NULL) device_free(device, session.arena, session.plan->bytes);
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
