/* Every op, forward and backward in f32, against PyTorch's vectors: 1e-5. */
#include "tests/core/ops_cases_helper.h"
#include "tests/golden/golden.h"
#include "tests/harness.h"

#include <math.h>

static Golden golden;
static Device *device;

static const GoldenRecord *record_of(const char *group, const char *name, const char *suffix) {
    char full[160];
    snprintf(full, sizeof full, "%s/%s%s", group, name, suffix);
    const GoldenRecord *record = golden_find(&golden, full);
    if (record == NULL) printf("\n    no record %s", full);
    return record;
}

/* Puts a record in place of drawn values; false where its size differs. */
static bool take(const GoldenRecord *record, double *values, int64_t count) {
    if (record == NULL || record->count != count) return false;
    for (int64_t i = 0; i < count; i++) values[i] = (double)record->values[i];
    return true;
}

static bool take_tokens(CaseRun *run, const char *group) {
    if (run->op->V == 0) return true;
    const GoldenRecord *record = record_of(group, "tokens", "");
    if (record == NULL || record->count != tensor_count(run->tokens)) return false;
    int32_t *tokens = tensor_data(run->tokens);
    for (int64_t i = 0; i < record->count; i++) tokens[i] = (int32_t)record->values[i];
    return true;
}

static bool take_all(CaseRun *run, const char *group) {
    bool taken = take_tokens(run, group);
    for (int i = 0; i < run->n_inputs; i++) {
        CaseTensor *input = &run->inputs[i];
        taken &=
            take(record_of(group, input->name, ""), input->values, tensor_count(input->tensor));
    }
    for (int i = 0; i < run->n_outputs; i++) {
        CaseTensor *output = &run->outputs[i];
        taken &= take(record_of(group, output->name, ".seed"), output->seeds,
                      tensor_count(output->tensor));
    }
    return taken;
}

static Status case_take(CaseRun *run, const char *group) {
    return take_all(run, group)
               ? OK
               : ERROR(STATUS_DATA, "%s: a record is missing or of another size", group);
}

static bool agrees(const Tensor *t, const GoldenRecord *record) {
    if (record == NULL || record->count != tensor_count(t)) return false;
    const float *got = tensor_data(t);
    for (int64_t i = 0; i < record->count; i++) {
        if (!CHECK_CLOSE((double)got[i], (double)record->values[i], 1e-5)) return false;
    }
    return true;
}

static void check_case(const char *name, const char *group) {
    const OpCase *op = NULL;
    CaseRun *run = NULL;
    for (int i = 0; i < n_op_cases; i++)
        op = strcmp(op_cases[i].name, name) == 0 ? &op_cases[i] : op;
    CU_ASSERT_FATAL(op != NULL);
    if (CHECK_OK(case_create(op, device->target, DTYPE_F32, false, &run)) &&
        CHECK_OK(case_bind(run, device)) && CHECK_OK(case_take(run, group)) &&
        CHECK_OK(case_replay(run))) {
        for (int i = 0; i < run->n_outputs; i++) {
            CHECK(agrees(run->outputs[i].tensor, record_of(group, run->outputs[i].name, "")));
        }
        for (int i = 0; i < run->n_inputs; i++) {
            CHECK(agrees(run->inputs[i].grad, record_of(group, run->inputs[i].name, ".grad")));
        }
    }
    case_destroy(&run);
}

static void linear(void) { check_case("linear_ragged", "linear_ragged"); }
static void linear_with_gelu(void) { check_case("linear_gelu_bias", "linear_gelu_bias"); }
static void mlp(void) { check_case("mlp_bias", "mlp_bias"); }
static void layernorm(void) { check_case("layernorm_beta", "layernorm_beta"); }
static void layernorm_with_branch(void) { check_case("layernorm_branch", "layernorm_branch"); }
static void embedding(void) { check_case("embedding_ragged", "embedding_ragged"); }
static void dropout(void) { check_case("dropout_ragged", "dropout_ragged"); }
static void loss(void) { check_case("loss_one_chunk", "loss_one_chunk"); }
static void loss_in_chunks(void) { check_case("loss_chunks", "loss_chunks"); }

static void attention(void) {
    const char *const backends[] = {"baseline", "math", "mem_efficient", "flash"}, *const sizes[] =
                                                                                       {"5", "63"};
    for (size_t b = 0; b < COUNT(backends); b++) {
        for (size_t s = 0; s < COUNT(sizes); s++) {
            char name[64], group[64];
            snprintf(name, sizeof name, "attention_%s_%s", backends[b], sizes[s]);
            snprintf(group, sizeof group, "attention_%s", sizes[s]);
            check_case(name, group);
        }
    }
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(linear),
        TEST(linear_with_gelu),
        TEST(mlp),
        TEST(layernorm),
        TEST(layernorm_with_branch),
        TEST(embedding),
        TEST(dropout),
        TEST(loss),
        TEST(loss_in_chunks),
        TEST(attention),
    };
    if (failed(device_open_cpu(1, &device))) return 1;
    Status status = golden_open("tests/golden/ops.bin", &golden);
    if (failed(status)) return status_report("test_golden", status);
    int code = harness_run(argc, argv, "golden ops", tests, COUNT(tests));
    golden_close(&golden);
    device_close(&device);
    return code;
}
