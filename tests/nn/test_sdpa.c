/* The operator without a program: one tensor for q, k and v, strides of every order and refused
 * ones, memory that is known before allocation, and the number of visible pairs of query and
 * key. */
#include "nn/attention/standalone.h"
#include "tests/harness.h"
#include "tests/nn/attention_run_helper.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const StepState step = {.seed = 5, .step = 2, .first_sample = 1, .loss_scale = 1};
static Device *device;

static const AttentionShape grouped = {
    .B = 2, .NH = 4, .NH_kv = 2, .Tq = 33, .Tk = 33, .HS = 3, .causal = CAUSAL_UPPER_LEFT};
static const AttentionShape biased = {.B = 2,
                                      .NH = 4,
                                      .NH_kv = 2,
                                      .Tq = 5,
                                      .Tk = 6,
                                      .HS = 3,
                                      .bias = BIAS_ADDITIVE,
                                      .bias_dims = "bhq"};

/* Copies between a dense (B, T, NH, HS) and its columns of packed rows. */
static void columns_copy(double *packed, double *dense, const AttentionCall *c, int64_t NH,
                         int64_t at, bool back) {
    int64_t row = (c->NH + 2 * c->NH_kv) * c->HS, width = NH * c->HS;
    for (int64_t t = 0; t < c->B * c->Tq; t++) {
        double *in_row = packed + t * row + at, *alone = dense + t * width;
        memcpy(back ? alone : in_row, back ? in_row : alone, (size_t)width * sizeof *alone);
    }
}

static Status packed_run(Sdpa *sdpa, AttentionData *data, double *rows) {
    const AttentionCall *c = &sdpa->call;
    int64_t k = c->NH * c->HS, v = k + c->NH_kv * c->HS;
    columns_copy(rows, data->values[ATT_Q], c, c->NH, 0, false);
    columns_copy(rows, data->values[ATT_K], c, c->NH_kv, k, false);
    columns_copy(rows, data->values[ATT_V], c, c->NH_kv, v, false);
    TRY(sdpa_allocate(sdpa));
    TRY(device_upload(device, sdpa->q, rows));
    TRY(device_upload(device, sdpa->dout, data->values[ATT_DOUT]));
    TRY(sdpa_forward(sdpa));
    TRY(sdpa_backward(sdpa));
    TRY(device_download(device, data->values[ATT_OUT], sdpa->out));
    TRY(device_download(device, rows, sdpa->dq));
    columns_copy(rows, data->values[ATT_DQ], c, c->NH, 0, true);
    columns_copy(rows, data->values[ATT_DK], c, c->NH_kv, k, true);
    columns_copy(rows, data->values[ATT_DV], c, c->NH_kv, v, true);
    return OK;
}

static void packed_by(const AttentionBackend *backend, const AttentionCall *call,
                      AttentionData *got, const AttentionData *wanted) {
    Sdpa *sdpa = NULL;
    int64_t count = call->B * call->q.batch;
    double *rows = calloc((size_t)count, sizeof *rows);
    if (rows != NULL && CHECK_OK(sdpa_plan(device, call, backend, true, &sdpa))) {
        CHECK(sdpa->q == sdpa->k && sdpa->dk == sdpa->dv && tensor_count(sdpa->dq) == count);
        CHECK_OK(packed_run(sdpa, got, rows));
        for (int which = ATT_OUT; which < ATT_DBIAS; which++) {
            for (int64_t i = 0; which != ATT_LSE && i < got->counts[which]; i++) {
                CHECK_CLOSE(got->values[which][i], wanted->values[which][i], 1e-12);
            }
        }
    }
    sdpa_destroy(&sdpa);
    free(rows);
}

/* Rows of (NH + 2 NH_kv) HS are equivalent to the three tensors, with fewer key heads as well. */
static void packed_is_the_three(void) {
    AttentionCall call = attention_call_of(grouped, DTYPE_F64);
    AttentionData got, wanted;
    if (attention_data_create(&grouped, &call, 1, &got) &&
        attention_data_create(&grouped, &call, 1, &wanted)) {
        attention_reference(&call, &step, &wanted);
        call.q = call.k = call.v = attention_packed(call.Tq, call.NH, call.NH_kv, call.HS);
        packed_by(attention_backend("flash"), &call, &got, &wanted);
        packed_by(attention_backend("math"), &call, &got, &wanted);
    }
    attention_data_destroy(&got);
    attention_data_destroy(&wanted);
}

static void packed_has_its_layout(void) {
    AttentionCall call = attention_call_packed(DTYPE_F32, 2, 8, 4, 8, 0, true), apart = call,
                  uneven = call;
    const AttentionBackend *math = attention_backend("math");
    Sdpa *sdpa;
    apart.k = attention_tokens(8, 4, 8);
    uneven.Tk = 7;
    CHECK_ERROR(sdpa_plan(device, &apart, math, true, &sdpa), STATUS_CONFIG, "in one tensor");
    CHECK_ERROR(sdpa_plan(device, &uneven, math, true, &sdpa), STATUS_CONFIG, "with Tk = Tq");
    CHECK(sdpa == NULL);
}

static void memory_is_known_first(void) {
    AttentionCall call = attention_call_packed(DTYPE_F32, 2, 64, 4, 8, 0, true);
    size_t before = device->allocated_bytes, weights = 2 * 4 * 64 * 64 * sizeof(float);
    bool fits = false;
    Spread seconds = {0};
    Sdpa *sdpa;
    if (!CHECK_OK(sdpa_plan(device, &call, attention_backend("math"), true, &sdpa))) return;
    CHECK(device->allocated_bytes == before);
    CHECK(sdpa->bytes > sdpa->backend_bytes && sdpa->backend_bytes > weights &&
          sdpa->backend_bytes < 2 * weights);
    CHECK_OK(sdpa_allocate_trial(sdpa, &fits));
    CHECK(fits && device->allocated_bytes - before == sdpa->bytes);
    CHECK_OK(sdpa_time(sdpa, 1, 1, &seconds));
    CHECK(seconds.low > 0 && seconds.low <= seconds.median && seconds.median <= seconds.high);
    sdpa_destroy(&sdpa);
    CHECK(device->allocated_bytes == before);
    call = attention_call_packed(DTYPE_F32, 1 << 20, 1 << 20, 4, 8, 0, true);
    if (!CHECK_OK(sdpa_plan(device, &call, attention_backend("flash"), true, &sdpa))) return;
    CHECK_OK(sdpa_allocate_trial(sdpa, &fits));
    CHECK(!fits && device->allocated_bytes == before);
    sdpa_destroy(&sdpa);
}

/* Queries outermost, then rows, then heads: as dense as any order, so the gradient agrees with the
 * formulas. */
static void a_bias_in_another_order(void) {
    AttentionCall call = attention_call_of(biased, DTYPE_F64);
    AttentionData got, wanted;
    call.bias_layout = (HeadLayout){
        .token = call.B * call.NH * call.Tk, .batch = call.NH * call.Tk, .head = call.Tk};
    if (attention_data_create(&biased, &call, 1, &got) &&
        attention_data_create(&biased, &call, 1, &wanted)) {
        attention_reference(&call, &step, &wanted);
        CHECK_OK(attention_by(attention_backend("mem_efficient"), &call, device, &step, &got));
        for (int64_t i = 0; i < got.counts[ATT_DBIAS]; i++) {
            CHECK_CLOSE(got.values[ATT_DBIAS][i], wanted.values[ATT_DBIAS][i], 1e-12);
        }
    }
    attention_data_destroy(&got);
    attention_data_destroy(&wanted);
}

static void check_bias(HeadLayout layout, BiasKind kind, bool training, const char *reason) {
    AttentionCall call = attention_call_of(biased, DTYPE_F32);
    Sdpa *sdpa;
    call.bias = kind;
    call.bias_layout = layout;
    call.training = training;
    Status status = sdpa_create_with(device, &call, attention_backend("math"), &sdpa);
    if (reason == NULL)
        CHECK_OK(status);
    else
        CHECK_ERROR(status, STATUS_CONFIG, reason);
    CHECK((sdpa != NULL) == (reason == NULL));
    sdpa_destroy(&sdpa);
}

/* If two elements of a bias with a gradient shared an address, it would get the sum of both, or
 * half of it after a race. */
static void overlapping_biases_have_no_gradient(void) {
    static const HeadLayout overlapping[] = {
        {.batch = 120, .head = 30, .token = 5}, /* rows of 6 keys */
        {.batch = 120, .head = 29, .token = 6}, {.batch = 119, .head = 30, .token = 6},
        {.batch = 6, .head = 12, .token = 6},   {.head = 1, .token = 6},
        {.batch = 120, .head = 6, .token = 23},
    };
    static const HeadLayout apart[] = {
        {.batch = 120, .head = 30, .token = 6},
        {.batch = 131, .head = 33, .token = 6},
        {.head = 6, .token = 24},
        {.batch = 6, .head = 12, .token = 48},
        {.token = 6},
        {.batch = 7},
        {0},
    };
    for (size_t i = 0; i < COUNT(overlapping); i++) {
        check_bias(overlapping[i], BIAS_ADDITIVE, true,
                   "attention: rows of the bias overlap, and with them its gradient's");
        check_bias(overlapping[i], BIAS_ADDITIVE, false, NULL); /* reading is harmless */
        check_bias(overlapping[i], BIAS_BOOLEAN, true, NULL);
    }
    for (size_t i = 0; i < COUNT(apart); i++) check_bias(apart[i], BIAS_ADDITIVE, true, NULL);
}

static void strides_that_overflow(void) {
    for (int kind = BIAS_BOOLEAN; kind <= BIAS_ADDITIVE; kind++) {
        check_bias((HeadLayout){.batch = INT64_MAX}, (BiasKind)kind, true,
                   "a bias is too large to address");
        check_bias((HeadLayout){.head = INT64_MAX / 2}, (BiasKind)kind, false,
                   "a bias is too large to address");
        check_bias((HeadLayout){.token = INT64_MAX / 4 + 1}, (BiasKind)kind, true,
                   "a bias is too large to address");
        check_bias((HeadLayout){.token = -1}, (BiasKind)kind, true, "strides are not below 0");
    }
    /* elements can be counted, bytes cannot */
    check_bias(
        (HeadLayout){.batch = INT64_MAX / 4, .head = INT64_MAX / 12, .token = INT64_MAX / 16},
        BIAS_ADDITIVE, false, "bias: the tensor is too large to address");
}

/* The same for operands with a gradient, and for out, which is always written. */
static void overlapping_rows_are_not_written(void) {
    AttentionCall call = attention_call_of(grouped, DTYPE_F32), windows = call, out = call;
    Sdpa *sdpa;
    windows.k.batch =
        16 * windows.k.token; /* rows of the batch read shifted keys of one sequence */
    CHECK_ERROR(sdpa_create_with(device, &windows, attention_backend("flash"), &sdpa),
                STATUS_CONFIG, "rows of k overlap, and with them its gradient's");
    windows.training = false;
    CHECK_OK(sdpa_create_with(device, &windows, attention_backend("flash"), &sdpa));
    sdpa_destroy(&sdpa);
    out.training = false;
    out.out.batch = out.out.token;
    CHECK_ERROR(sdpa_create_with(device, &out, attention_backend("flash"), &sdpa), STATUS_CONFIG,
                "rows of out overlap: ");
}

/* Counts the pairs from the formulas: with q = 0 the lse of a query is the logarithm of its number
 * of visible keys. */
static void check_pairs(AttentionShape shape) {
    AttentionCall call = attention_call_of(shape, DTYPE_F64);
    AttentionData data;
    uint8_t seen[8192] = {0};
    double pairs = 0, counted = -1;
    if (attention_data_create(&shape, &call, 1, &data) &&
        data.counts[ATT_BIAS] <= (int64_t)sizeof seen) {
        memset(data.values[ATT_Q], 0, (size_t)data.counts[ATT_Q] * sizeof(double));
        for (int64_t i = 0; i < data.counts[ATT_BIAS]; i++) seen[i] = data.values[ATT_BIAS][i] != 0;
        attention_reference(&call, &step, &data);
        for (int64_t i = 0; i < data.counts[ATT_LSE]; i++)
            pairs += round(exp(data.values[ATT_LSE][i]));
        AttentionArgs masks = {.key_ranges = data.ranges.keys, .bias = seen};
        counted = attention_pairs(&call, &masks);
    }
    CHECK(pairs > 0 && counted == pairs);
    attention_data_destroy(&data);
}

static void pairs_are_what_the_masks_leave(void) {
    AttentionShape shape = {.B = 3, .NH = 4, .NH_kv = 2, .Tq = 17, .Tk = 30, .HS = 2};
    check_pairs(shape);
    shape.causal = CAUSAL_UPPER_LEFT;
    check_pairs(shape);
    shape.causal = CAUSAL_LOWER_RIGHT;
    check_pairs(shape);
    shape.window = 5;
    check_pairs(shape);
    shape.ranges = SHAPE_LENGTHS;
    check_pairs(shape);
    shape.bias = BIAS_BOOLEAN;
    for (int i = 0; i < 4; i++) {
        static const char *const dims[] = {"", "q", "hq", "bhq"};
        shape.bias_dims = dims[i];
        check_pairs(shape);
    }
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(packed_is_the_three),
                          TEST(packed_has_its_layout),
                          TEST(memory_is_known_first),
                          TEST(a_bias_in_another_order),
                          TEST(overlapping_biases_have_no_gradient),
                          TEST(strides_that_overflow),
                          TEST(overlapping_rows_are_not_written),
                          TEST(pairs_are_what_the_masks_leave)};
    if (failed(device_open_cpu(2, &device))) return 1;
    int code = harness_run(argc, argv, "sdpa", tests, COUNT(tests));
    device_close(&device);
    return code;
}
