#include "nn/attention/standalone.h"

#include "core/perf/fill.h"
#include "core/perf/timing.h"
#include "nn/attention/ranges.h"

#include <stdlib.h>

enum { FORWARD, BACKWARD, BOTH };

static Status tensor_add(Sdpa *s, const char *name, BufferKind kind, DType dtype, int n_dims,
                         const int64_t *shape, Tensor **out) {
    Section *section;
    TRY(store_section(s->store, name, kind, dtype, &section));
    return section_add(s->store, section, name, n_dims, shape, out);
}

static Status vector_add(Sdpa *s, const char *name, DType dtype, int64_t count, Tensor **out) {
    return tensor_add(s, name, BUFFER_INPUTS, dtype, 1, &count, out);
}

static Status operand_add(Sdpa *s, const char *name, AttentionOperand which, Tensor **out) {
    DType dtype = which == ATTENTION_BIAS ? attention_bias_dtype(&s->call) : s->call.dtype;
    return vector_add(s, name, dtype, attention_extent(&s->call, which), out);
}

/* q, k and v, or their gradients. */
static Status heads_declare(Sdpa *s, const char *const names[3], Tensor **q, Tensor **k,
                            Tensor **v) {
    if (s->packed) {
        TRY(vector_add(s, names[0], s->call.dtype, s->call.B * s->call.q.batch, q));
        *k = *v = *q;
        return OK;
    }
    TRY(operand_add(s, names[0], ATTENTION_Q, q));
    TRY(operand_add(s, names[1], ATTENTION_K, k));
    return operand_add(s, names[2], ATTENTION_V, v);
}

static Status masks_declare(Sdpa *s) {
    const AttentionCall *c = &s->call;
    if (c->ranges) {
        TRY(tensor_add(s, "key_ranges", BUFFER_INPUTS, DTYPE_I32, 3, (int64_t[]){2, c->B, c->Tq},
                       &s->key_ranges));
        TRY(tensor_add(s, "query_ranges", BUFFER_INPUTS, DTYPE_I32, 3, (int64_t[]){2, c->B, c->Tk},
                       &s->query_ranges));
    }
    if (c->bias == BIAS_NONE) return OK;
    TRY(operand_add(s, "bias", ATTENTION_BIAS, &s->bias));
    if (c->bias != BIAS_ADDITIVE || !c->training) return OK;
    return operand_add(s, "dbias", ATTENTION_BIAS, &s->dbias);
}

/* The tensors that the backend keeps for backward. */
static Status kept_declare(Sdpa *s) {
    const AttentionCall *c = &s->call;
    const int64_t shape[] = {2, c->B, c->NH, c->Tq, c->Tk};
    DType lse = s->backend->lse;
    TRY(tensor_add(s, "lse", BUFFER_ACTIVATIONS, lse, 3, shape + 1, &s->lse));
    if (s->backend->saves_weights) {
        return tensor_add(s, "weights", BUFFER_ACTIVATIONS, c->dtype, 4, shape + 1, &s->weights);
    }
    return c->training ? tensor_add(s, "stats", BUFFER_ACTIVATIONS, lse, 4, shape, &s->stats) : OK;
}

static Status tensors_declare(Sdpa *s) {
    TRY(store_create(&s->store));
    TRY(heads_declare(s, (const char *const[]){"q", "k", "v"}, &s->q, &s->k, &s->v));
    TRY(vector_add(s, "step", DTYPE_U8, sizeof(StepState), &s->step));
    TRY(operand_add(s, "out", ATTENTION_OUT, &s->out));
    TRY(masks_declare(s));
    TRY(kept_declare(s));
    if (!s->call.training) return OK;
    TRY(operand_add(s, "dout", ATTENTION_OUT, &s->dout));
    return heads_declare(s, (const char *const[]){"dq", "dk", "dv"}, &s->dq, &s->dk, &s->dv);
}

static AttentionAttrs attrs_of(const Sdpa *s) {
    const AttentionCall *c = &s->call;
    if (!s->packed) return (AttentionAttrs){.call = *c};
    return (AttentionAttrs){
        .call = *c, .k_offset = c->NH * c->HS, .v_offset = (c->NH + c->NH_kv) * c->HS};
}

static void forward_record(const Sdpa *s, Program *p) {
    AttentionAttrs attrs = attrs_of(s);
    program_record(
        p, (Recording){&attention_op, &attrs, sizeof attrs,
                       TENSORS(s->q, s->k, s->v, s->step, s->key_ranges, s->query_ranges, s->bias),
                       TENSORS(s->out, s->lse, s->stats, s->weights), &s->backend->forward});
}

static void backward_record(const Sdpa *s, Program *p) {
    AttentionAttrs attrs = attrs_of(s);
    program_record(p, (Recording){&attention_backward_op, &attrs, sizeof attrs,
                                  TENSORS(s->q, s->k, s->v, s->step, s->key_ranges, s->query_ranges,
                                          s->bias, s->out, s->lse, s->stats, s->weights, s->dout),
                                  TENSORS(s->dq, s->dk, s->dv, s->dbias), &s->backend->backward});
}

static Status program_make(Sdpa *s, int which) {
    Program **p = &s->programs[which].program;
    TRY(program_create(s->device->target, s->call.training, p));
    if (which != BACKWARD) forward_record(s, *p);
    if (which != FORWARD) backward_record(s, *p);
    return OK;
}

static Status sdpa_build(Sdpa *s) {
    TRY(tensors_declare(s));
    for (int i = FORWARD; i <= (s->call.training ? BOTH : FORWARD); i++) TRY(program_make(s, i));
    TRY(bound_programs_plan(s->programs, SDPA_PROGRAMS));
    size_t scratch = bound_programs_bytes(s->programs, SDPA_PROGRAMS);
    s->bytes = store_bytes(s->store) + scratch;
    s->backend_bytes = store_kind_bytes(s->store, BUFFER_ACTIVATIONS) + scratch;
    return OK;
}

/* Outputs must not overlap themselves: out, and the gradients, which have the layouts of their
 * operands. */
static Status overlaps_check(const AttentionCall *c) {
    static const char *const names[] = {"q", "k", "v", "out", "the bias"};
    for (int which = ATTENTION_Q; which <= ATTENTION_BIAS; which++) {
        bool has_gradient = c->training && (which < ATTENTION_OUT || c->bias == BIAS_ADDITIVE);
        bool is_written = which == ATTENTION_OUT || has_gradient;
        if (!is_written || attention_is_apart(c, (AttentionOperand)which)) continue;
        return ERROR(
            STATUS_CONFIG,
            "attention: rows of %s overlap%s: a stride steps over all that smaller ones reach%s",
            names[which], which == ATTENTION_OUT ? "" : ", and with them its gradient's",
            which == ATTENTION_BIAS ? ", or is 0" : "");
    }
    return OK;
}

static Status packing_check(const AttentionCall *c) {
    HeadLayout packed = attention_packed(c->Tq, c->NH, c->NH_kv, c->HS);
    if (c->Tq == c->Tk && attention_same_layout(c->q, packed) &&
        attention_same_layout(c->k, packed) && attention_same_layout(c->v, packed)) {
        return OK;
    }
    return ERROR(
        STATUS_CONFIG,
        "attention: q, k and v in one tensor lie as attention_packed() says, with Tk = Tq");
}

Status sdpa_plan(Device *device, const AttentionCall *call, const AttentionBackend *backend,
                 bool packed, Sdpa **out) {
    *out = NULL;
    TRY(attention_check(call));
    TRY(overlaps_check(call));
    if (packed) TRY(packing_check(call));
    const char *refusal = attention_refusal(backend, call, &device->target);
    if (refusal != NULL)
        return ERROR(STATUS_CONFIG, "attention: %s: %s", backend->forward.name, refusal);
    Sdpa *s = *out = calloc(1, sizeof *s);
    if (s == NULL) return OUT_OF_MEMORY("attention");
    s->call = *call;
    s->backend = backend;
    s->device = device;
    s->packed = packed;
    Status status = sdpa_build(s);
    if (failed(status)) sdpa_destroy(out);
    return status;
}

Status sdpa_allocate(Sdpa *s) {
    TRY(store_allocate(s->store, s->device));
    return bound_programs_bind(s->programs, SDPA_PROGRAMS, s->device, "attention's scratch");
}

Status sdpa_create_with(Device *device, const AttentionCall *call, const AttentionBackend *backend,
                        Sdpa **out) {
    TRY(sdpa_plan(device, call, backend, false, out));
    Status status = sdpa_allocate(*out);
    if (failed(status)) sdpa_destroy(out);
    return status;
}

Status sdpa_create(Device *device, const AttentionCall *call, const KernelChoice *choice,
                   Sdpa **out) {
    KernelVerdict verdicts[KERNEL_MAX_CHOICES];
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
    bound_programs_destroy(s->programs, SDPA_PROGRAMS);
    store_destroy(&s->store);
    free(s);
    *sdpa = NULL;
}

Status sdpa_forward(Sdpa *s) { return device_replay(s->device, s->programs[FORWARD].program); }

Status sdpa_backward(Sdpa *s) {
    if (!s->call.training)
        return ERROR(STATUS_CONFIG, "attention: backward needs a call with training set");
    return device_replay(s->device, s->programs[BACKWARD].program);
}

/* Every query sees every key. */
static Status ranges_open(Sdpa *s) {
    AttentionRanges ranges;
    Status status;
    TRY_ELSE(status, ranges_create(s->call.B, s->call.Tq, s->call.Tk, &ranges), done);
    TRY_ELSE(status, device_upload(s->device, s->key_ranges, ranges.keys), done);
    TRY_ELSE(status, device_upload(s->device, s->query_ranges, ranges.queries), done);
done:
    ranges_destroy(&ranges);
    return status;
}

Status sdpa_allocate_trial(Sdpa *s, bool *fits) {
    Tensor *const numbers[] = {s->q, s->dout, s->k, s->v,
                               s->call.bias == BIAS_ADDITIVE ? s->bias : NULL};
    size_t free_bytes = 0, total_bytes;
    TRY(device_memory(s->device, &free_bytes, &total_bytes));
    *fits = s->bytes < free_bytes;
    if (!*fits) return OK;
    TRY(sdpa_allocate(s));
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        bool is_done = numbers[i] == NULL || (i > 0 && numbers[i] == s->q);
        if (!is_done) TRY(fill_normal(s->device, numbers[i], i + 1));
    }
    return s->call.ranges ? ranges_open(s) : OK;
}

Status sdpa_time(Sdpa *s, int64_t repeats, double limit_s, Spread *seconds) {
    return program_time(s->device, s->programs[s->call.training ? BOTH : FORWARD].program, repeats,
                        limit_s, seconds);
}
