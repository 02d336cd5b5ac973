/* The CPU's attention backends with extreme numbers: tests/nn/attention_edges_helper.h. */
#include "core/device.h"
#include "tests/harness.h"
#include "tests/nn/attention_edge_cases_helper.h"
#include "tests/nn/attention_edges_helper.h"
#include "tests/nn/attention_run_helper.h"

static Device *device;

static void equal_scores(void) {
    edges_equal_scores(device, DTYPE_F32, 1);
    edges_equal_scores(device, DTYPE_F64, 1);
}

static void two_keys(void) {
    edges_two_keys(device, DTYPE_F32);
    edges_two_keys(device, DTYPE_F64);
}

static void long_rows(void) { edges_long_rows(device, DTYPE_F32, 2048); }
static void cases_f32(void) { edges_cases(device, DTYPE_F32); }
static void cases_f64(void) {
#if defined(__SANITIZE_ADDRESS__)
    SKIP("cases_f32 runs the same code; the sanitizers are slow");
#endif
    edges_cases(device, DTYPE_F64);
}

/* One key head for all queries, without copies: a stride of 0 can be read, but has no gradient. */
static void expanded_keys_are_read(void) {
    AttentionShape one = {SIZES(2, 4, 1, 20, 30, 8), .seed = 3};
    AttentionCall grouped = attention_call_of(one, DTYPE_F32), expanded = grouped;
    grouped.training = expanded.training = false;
    expanded.NH_kv = 4, expanded.k.head = expanded.v.head = 0;
    AttentionData a, b;
    if (attention_data_create(&one, &grouped, 1, &a) &&
        attention_data_create(&one, &grouped, 1, &b)) {
        const AttentionBackend *flash = attention_backend("flash");
        CHECK_OK(attention_by(flash, &grouped, device, &(StepState){0}, &a));
        CHECK_OK(attention_by(flash, &expanded, device, &(StepState){0}, &b));
        for (int64_t i = 0; i < a.counts[ATT_OUT]; i++)
            CHECK(a.values[ATT_OUT][i] == b.values[ATT_OUT][i]);
        expanded.training = true;
        CHECK_ERROR(attention_by(flash, &expanded, device, &(StepState){0}, &b), STATUS_CONFIG,
                    "rows of k overlap");
    }
    attention_data_destroy(&a);
    attention_data_destroy(&b);
}

static void head_size_of_v(void) {
    AttentionCall call = attention_call_of((AttentionShape){SIZES(1, 1, 1, 4, 4, 8)}, DTYPE_F32);
    call.HS_v = 4;
    CHECK_ERROR(attention_check(&call), STATUS_CONFIG, "v has the head size of q and k");
    call.HS_v = 8;
    CHECK_OK(attention_check(&call));
}

static void long_cases(void) { edges_long_cases(device, DTYPE_F32); }

int main(int argc, char **argv) {
    const Test tests[] = {TEST(equal_scores),
                          TEST(two_keys),
                          TEST(long_rows),
                          TEST(cases_f32),
                          TEST(cases_f64),
                          TEST(long_cases),
                          TEST(expanded_keys_are_read),
                          TEST(head_size_of_v)};
    if (failed(device_open_cpu(1, &device))) return 1;
    int code = harness_run(argc, argv, "attention at the edges", tests, COUNT(tests));
    device_close(&device);
    return code;
}
