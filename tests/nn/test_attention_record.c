/* Attention with any tensors in a program: the gradients reach them however q, k and v share
 * memory, math's gradients agree with finite differences, and invalid calls are refused with the
 * reason. */
#include "core/autodiff.h"
#include "core/bound_program.h"
#include "core/store.h"
#include "nn/attention/standalone.h"
#include "tests/harness.h"
#include "tests/nn/attention_run_helper.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const StepState step = {.seed = 5, .step = 2, .first_sample = 1, .loss_scale = 1};
static Device *device;

/* Inputs and their results: a store of f64 tensors, and a program over them. */
typedef struct Run {
    Store *store;
    Section *reals, *bytes, *integers;
    BoundProgram bound;
    Program *program; /* the bound one */
} Run;

static Tensor *real(Run *r, int64_t count, bool needs_grad) {
    Tensor *t = NULL;
    CHECK_OK(section_add(r->store, r->reals, "x", 1, &count, &t));
    if (t != NULL) t->needs_grad = needs_grad;
    return t;
}

static Status run_open(Run *r) {
    *r = (Run){0};
    TRY(store_create(&r->store));
    TRY(store_section(r->store, "reals", BUFFER_INPUTS, DTYPE_F64, &r->reals));
    TRY(store_section(r->store, "bytes", BUFFER_INPUTS, DTYPE_U8, &r->bytes));
    TRY(store_section(r->store, "integers", BUFFER_INPUTS, DTYPE_I32, &r->integers));
    TRY(program_create(device->target, true, &r->bound.program));
    r->program = r->bound.program;
    return OK;
}

static Status run_replay(Run *r) {
    TRY(bound_programs_plan(&r->bound, 1));
    TRY(bound_programs_bind(&r->bound, 1, device, "a test"));
    memset(r->bound.memory, 0xFF, r->bound.bytes);
    return device_replay(device, r->program);
}

static void run_close(Run *r) {
    bound_programs_destroy(&r->bound, 1);
    store_destroy(&r->store);
}

static void values_set(const Tensor *t, int64_t at, const double *values, int64_t count) {
    memcpy((double *)tensor_data(t) + at, values, (size_t)count * sizeof *values);
}

static void values_check(const Tensor *t, int64_t at, const double *wanted, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        CHECK_CLOSE(((double *)tensor_data(t))[at + i], wanted[i], 1e-12);
}

static const AttentionShape masked = {SIZES(2, 4, 2, 9, 13, 3), .causal = CAUSAL_LOWER_RIGHT,
                                      .dropout = 0.2,           .ranges = SHAPE_LENGTHS,
                                      .bias = BIAS_ADDITIVE,    .bias_dims = "hq"};

/* q alone, k and v adjacent in one tensor, ranges, and a bias whose gradient is added to an
 * existing one. */
static void gradients_reach_every_tensor(void) {
    AttentionCall call = attention_call_of(masked, DTYPE_F64);
    AttentionData data;
    KernelChoice choice = {0};
    Run r;
    if (!attention_data_create(&masked, &call, 1, &data)) return;
    call.stream = 1; /* the program's first */
    attention_reference(&call, &step, &data);
    int64_t nq = data.counts[ATT_Q], nk = data.counts[ATT_K], nb = data.counts[ATT_BIAS];
    int64_t bytes = sizeof step;
    if (CHECK_OK(run_open(&r))) {
        AttentionTensors t = {
            .q = real(&r, nq, true), .k = real(&r, 2 * nk, true), .bias = real(&r, nb, true)};
        Tensor *dq = real(&r, nq, false), *dkv = real(&r, 2 * nk, false),
               *dbias = real(&r, nb, false);
        Tensor *dout = real(&r, nq, false);
        t.v = t.k, t.v_offset = nk;
        CHECK_OK(section_add(r.store, r.bytes, "step", 1, &bytes, &t.step));
        CHECK_OK(section_add(r.store, r.integers, "k", 3, (int64_t[]){2, call.B, call.Tq},
                             &t.key_ranges));
        CHECK_OK(section_add(r.store, r.integers, "q", 3, (int64_t[]){2, call.B, call.Tk},
                             &t.query_ranges));
        CHECK_OK(store_allocate(r.store, device));
        values_set(t.q, 0, data.values[ATT_Q], nq);
        values_set(t.k, 0, data.values[ATT_K], nk);
        values_set(t.k, nk, data.values[ATT_V], nk);
        values_set(t.bias, 0, data.values[ATT_BIAS], nb);
        values_set(dbias, 0, data.values[ATT_BIAS], nb);
        values_set(dout, 0, data.values[ATT_DOUT], nq);
        memcpy(tensor_data(t.step), &step, sizeof step);
        memcpy(tensor_data(t.key_ranges), data.ranges.keys, tensor_bytes(t.key_ranges));
        memcpy(tensor_data(t.query_ranges), data.ranges.queries, tensor_bytes(t.query_ranges));
        autodiff_watch(r.program, t.q, dq, false);
        autodiff_watch(r.program, t.k, dkv, false);
        autodiff_watch(r.program, t.bias, dbias, true);
        Tensor *out = attention_record_call(r.program, &t, &call, &choice);
        autodiff_watch(r.program, out, dout, true);
        autodiff_run(r.program);
        if (CHECK_OK(run_replay(&r))) {
            for (int64_t i = 0; i < nb; i++) data.values[ATT_DBIAS][i] += data.values[ATT_BIAS][i];
            values_check(dq, 0, data.values[ATT_DQ], nq);
            values_check(dkv, 0, data.values[ATT_DK], nk);
            values_check(dkv, nk, data.values[ATT_DV], nk);
            values_check(dbias, 0, data.values[ATT_DBIAS], nb);
        }
    }
    run_close(&r);
    attention_data_destroy(&data);
}

/* attention(x, x, x): three gradients, one sum. A tensor whose gradient is not needed costs only a
 * temporary. */
static void one_tensor_thrice(void) {
    const AttentionShape shape = {SIZES(2, 2, 2, 7, 7, 4), .causal = CAUSAL_UPPER_LEFT};
    AttentionCall call = attention_call_of(shape, DTYPE_F64);
    AttentionData data;
    KernelChoice choice = {.count = 1, .names = {"math"}};
    Run r;
    if (!attention_data_create(&shape, &call, 1, &data)) return;
    int64_t n = data.counts[ATT_Q];
    memcpy(data.values[ATT_K], data.values[ATT_Q], (size_t)n * sizeof(double));
    memcpy(data.values[ATT_V], data.values[ATT_Q], (size_t)n * sizeof(double));
    attention_reference(&call, &step, &data);
    if (CHECK_OK(run_open(&r))) {
        Tensor *x = real(&r, n, true), *same = real(&r, n, false), *dx = real(&r, n, false),
               *dout = real(&r, n, false);
        Tensor *dv = real(&r, n, false), *v = real(&r, n, true);
        CHECK_OK(store_allocate(r.store, device));
        for (int i = 0; i < 3; i++)
            values_set(i == 0 ? x : i == 1 ? same : v, 0, data.values[ATT_Q], n);
        values_set(dout, 0, data.values[ATT_DOUT], n);
        autodiff_watch(r.program, x, dx, false);
        autodiff_watch(r.program, v, dv, false);
        Tensor *a = attention_record_call(r.program, &(AttentionTensors){.q = x, .k = x, .v = x},
                                          &call, &choice);
        Tensor *b = attention_record_call(
            r.program, &(AttentionTensors){.q = same, .k = same, .v = v}, &call, &choice);
        autodiff_watch(r.program, a, dout, true);
        autodiff_watch(r.program, b, dout, true);
        autodiff_run(r.program);
        if (CHECK_OK(run_replay(&r))) {
            values_check(dv, 0, data.values[ATT_DV], n);
            for (int64_t i = 0; i < n; i++) {
                data.values[ATT_DV][i] += data.values[ATT_DQ][i] + data.values[ATT_DK][i];
            }
            values_check(dx, 0, data.values[ATT_DV], n);
            values_check(a, 0, data.values[ATT_OUT], n);
        }
    }
    run_close(&r);
    attention_data_destroy(&data);
}

/* The sum of dout out, computed by math, with element i of an input shifted. */
static double objective(const AttentionCall *call, AttentionData *data, int which, int64_t i,
                        double moved) {
    double kept = data->values[which][i], sum = 0;
    data->values[which][i] = kept + moved;
    CHECK_OK(attention_by(attention_backend("math"), call, device, &step, data));
    data->values[which][i] = kept;
    for (int64_t k = 0; k < data->counts[ATT_OUT]; k++)
        sum += data->values[ATT_OUT][k] * data->values[ATT_DOUT][k];
    return sum;
}

static void check_differences(AttentionShape shape) {
    static const int inputs[] = {ATT_Q, ATT_K, ATT_V, ATT_BIAS},
                     gradients[] = {ATT_DQ, ATT_DK, ATT_DV, ATT_DBIAS};
    const double h = 1e-3;
    AttentionCall call = attention_call_of(shape, DTYPE_F64);
    AttentionData data;
    if (!CHECK_OK(attention_data_create(&shape, &call, 1, &data)
                      ? OK
                      : ERROR(STATUS_FAILURE, "no memory")))
        return;
    for (int k = 0; k < (shape.bias == BIAS_ADDITIVE ? 4 : 3); k++) {
        int64_t count = data.counts[inputs[k]];
        for (int64_t i = count / 14; i < count; i += count / 7) {
            double near = objective(&call, &data, inputs[k], i, h) -
                          objective(&call, &data, inputs[k], i, -h);
            double far = objective(&call, &data, inputs[k], i, 2 * h) -
                         objective(&call, &data, inputs[k], i, -2 * h);
            objective(&call, &data, inputs[k], i, 0);
            CHECK_CLOSE(data.values[gradients[k]][i], (8 * near - far) / (12 * h), 1e-9);
        }
    }
    attention_data_destroy(&data);
}

static void math_by_differences(void) {
    AttentionShape shape = masked;
    check_differences(shape);
    shape.bias_dims = "";
    check_differences(shape);
    shape.bias = BIAS_BOOLEAN, shape.ranges = SHAPE_PACKED, shape.segments = 3, shape.dropout = 0;
    check_differences(shape);
    shape.bias = BIAS_NONE, shape.causal = CAUSAL_UPPER_LEFT, shape.Tk = 9,
    shape.ranges = SHAPE_DOCUMENTS;
    check_differences(shape);
}

static const AttentionShape plain = {SIZES(2, 4, 2, 5, 6, 3)};

/* Records a call over tensors of the right sizes, except for the changes by `spoil`. */
static void check_refused(void (*spoil)(Program *, AttentionCall *, AttentionTensors *),
                          const char *reason) {
    AttentionCall call = attention_call_of(plain, DTYPE_F32);
    KernelChoice choice = {0};
    AttentionTensors t = {0};
    Program *p = NULL;
    if (!CHECK_OK(program_create(device->target, true, &p))) return;
    t.q = program_tensor(p, BUFFER_ACTIVATIONS, DTYPE_F32, 1, (int64_t[]){2 * 4 * 5 * 3});
    t.k = program_tensor(p, BUFFER_ACTIVATIONS, DTYPE_F32, 1, (int64_t[]){2 * 2 * 6 * 3});
    t.v = program_tensor(p, BUFFER_ACTIVATIONS, DTYPE_F32, 1, (int64_t[]){2 * 2 * 6 * 3});
    spoil(p, &call, &t);
    CHECK(attention_record_call(p, &t, &call, &choice) == NULL);
    CHECK_ERROR(program_status(p), STATUS_CONFIG, reason);
    program_destroy(&p);
}

#define SPOIL(name, change)                                                                        \
    static void name(Program *p, AttentionCall *call, AttentionTensors *t) {                       \
        (void)p, (void)call, (void)t;                                                              \
        change;                                                                                    \
    }
static Tensor *vector(Program *p, DType dtype, int64_t count) {
    return program_tensor(p, BUFFER_ACTIVATIONS, dtype, 1, &count);
}
SPOIL(uneven_heads, call->NH_kv = 3)
SPOIL(no_keys, call->Tk = 0)
SPOIL(negative_rows, call->B = -1)
SPOIL(window_alone, call->window = 4)
SPOIL(negative_window, call->window = -4)
SPOIL(all_dropped, call->dropout = 1)
SPOIL(no_scale, call->scale = NAN)
SPOIL(negative_softcap, call->softcap = -1)
SPOIL(overlapping_tokens, call->q.token = 2)
SPOIL(overlapping_heads, call->k.head = 1)
SPOIL(huge, call->v.batch = INT64_MAX / 2 + 9)
SPOIL(missing, t->v = NULL)
SPOIL(small, t->k_offset = 1)
SPOIL(negative_offset, t->k_offset = -1)
SPOIL(other_dtype, t->q = vector(p, DTYPE_F64, 120))
SPOIL(no_ranges, call->ranges = true)
SPOIL(unused_ranges, t->key_ranges = vector(p, DTYPE_I32, 20))
SPOIL(no_bias, (call->bias = BIAS_ADDITIVE, call->bias_layout = (HeadLayout){.token = 6}))
SPOIL(wrong_bias, (call->bias = BIAS_BOOLEAN, t->bias = vector(p, DTYPE_F32, 6)))
SPOIL(boolean_gradient,
      (call->bias = BIAS_BOOLEAN, t->bias = vector(p, DTYPE_U8, 6), t->bias->needs_grad = true))
SPOIL(overlapping_bias, (call->bias = BIAS_ADDITIVE, call->bias_layout = (HeadLayout){6, 6, 6},
                         t->bias = vector(p, DTYPE_F32, 240), t->bias->needs_grad = true))
SPOIL(huge_bias, (call->bias = BIAS_BOOLEAN, call->bias_layout.batch = INT64_MAX))
SPOIL(overlapping_rows,
      (call->q.batch = 3, t->q = vector(p, DTYPE_F32, 120), t->q->needs_grad = true))
SPOIL(no_step, call->dropout = 0.5)
SPOIL(gaps, (t->q = vector(p, DTYPE_F32, 121), t->q->needs_grad = true))
SPOIL(strided_out, call->out.token += 1)
SPOIL(narrow, call->dtype = DTYPE_I32)
SPOIL(f16_here, (call->dtype = DTYPE_F16, t->q = vector(p, DTYPE_F16, 120),
                 t->k = vector(p, DTYPE_F16, 72), t->v = t->k))

static void wrong_calls_are_refused(void) {
    check_refused(uneven_heads, "attention: NH must be a multiple of NH_kv (B=2, NH=4, NH_kv=3");
    check_refused(no_keys, "every size must be at least 1");
    check_refused(negative_rows, "every size must be at least 1");
    check_refused(window_alone, "a window needs a causal mask");
    check_refused(negative_window, "a window is 0 (none) or a number of keys");
    check_refused(all_dropped, "dropout must be at least 0 and below 1");
    check_refused(no_scale, "the scale must be a finite number");
    check_refused(negative_softcap, "the softcap must be 0 (none) or above");
    check_refused(overlapping_tokens, "tokens lie at least HS elements apart");
    check_refused(overlapping_heads, "rows and heads lie HS elements apart");
    check_refused(huge, "too large to address");
    check_refused(missing, "attention: v is missing");
    check_refused(
        small,
        "attention: k is smaller than the call says: f32 (72), but f32 with 73 elements is needed");
    check_refused(negative_offset, "an offset of q, k or v is below 0");
    check_refused(other_dtype, "q is of another dtype");
    check_refused(no_ranges, "key_ranges is missing");
    check_refused(unused_ranges, "tensors of ranges, but the call has no ranges");
    check_refused(no_bias, "bias is missing");
    check_refused(
        wrong_bias,
        "bias is of another dtype than the call says: f32 (6), but u8 with 6 elements is needed");
    check_refused(boolean_gradient, "a bias whose gradient is wanted is additive and dense");
    check_refused(overlapping_bias, "a bias whose gradient is wanted is additive and dense");
    check_refused(huge_bias, "a bias is too large to address");
    check_refused(overlapping_rows,
                  "q, k and v must fill f32 (120), whose gradient is wanted, once");
    check_refused(no_step, "the step's state is missing");
    check_refused(gaps, "q, k and v must fill f32 (121), whose gradient is wanted, once");
    check_refused(strided_out, "out must be dense");
    check_refused(narrow, "q, k and v must be floating-point numbers");
    check_refused(f16_here,
                  "attention.backends: no kernel supports this call (flash: needs f32, f64 or "
                  "bf16");
}

/* The same without a program. */
static void direct_calls_say_what_is_wrong(void) {
    AttentionCall call = attention_call_of(plain, DTYPE_F32);
    KernelChoice one = {.count = 1, .names = {"flash"}}, unknown = {.count = 1, .names = {"fast"}};
    Sdpa *sdpa;
    call.bias = BIAS_ADDITIVE;
    CHECK_ERROR(sdpa_create(device, &call, &one, &sdpa), STATUS_CONFIG,
                "flash: takes no arbitrary mask");
    CHECK(sdpa == NULL);
    CHECK_ERROR(sdpa_create_with(device, &call, attention_backend("flash"), &sdpa), STATUS_CONFIG,
                "attention: flash: takes no arbitrary mask");
    call.bias = BIAS_NONE;
    CHECK_ERROR(sdpa_create(device, &call, &unknown, &sdpa), STATUS_CONFIG,
                "the CPU has no kernel named fast");
    call.training = false;
    size_t before = device->allocated_bytes;
    if (CHECK_OK(sdpa_create(device, &call, &one, &sdpa))) {
        CHECK(sdpa->dq == NULL && sdpa->bias == NULL &&
              sdpa->backend == attention_backend("flash"));
        CHECK(device->allocated_bytes - before == sdpa->bytes);
        CHECK_OK(sdpa_forward(sdpa));
        CHECK_ERROR(sdpa_backward(sdpa), STATUS_CONFIG, "backward needs a call with training set");
    }
    sdpa_destroy(&sdpa);
    CHECK(sdpa == NULL && device->allocated_bytes == before);
    call.window = 3;
    CHECK_ERROR(sdpa_create(device, &call, &one, &sdpa), STATUS_CONFIG,
                "a window needs a causal mask");
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(gradients_reach_every_tensor), TEST(one_tensor_thrice),
                          TEST(math_by_differences), TEST(wrong_calls_are_refused),
                          TEST(direct_calls_say_what_is_wrong)};
    if (failed(device_open_cpu(1, &device))) return 1;
    int code = harness_run(argc, argv, "attention_record", tests, COUNT(tests));
    device_close(&device);
    return code;
}
