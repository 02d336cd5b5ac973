/* Each op case with vectors in tests/golden/ops.bin, forward and backward in f32, compared with
 * PyTorch: tolerance 1e-5. */
#include "tests/core/ops_cases_helper.h"
#include "tests/golden/golden.h"
#include "tests/harness.h"

static Golden golden;
static Device *device;

static const GoldenRecord *record_of(const char *group, const char *name, const char *suffix) {
    char full[160];
    snprintf(full, sizeof full, "%s/%s%s", group, name, suffix);
    const GoldenRecord *record = golden_find(&golden, full);
    if (record == NULL) printf("\n    no record %s", full);
    return record;
}

/* Replaces random values by a record; false if its size differs. */
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

static void check_case(const OpCase *op, const char *group) {
    CaseRun *run = NULL;
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

/* The vectors of a case have its name; those of attention are shared by all backends. */
static void group_of(const OpCase *op, char *group, size_t bytes) {
    const char *rest = op->name;
    if (op->backend != NULL) rest += strlen("attention_") + strlen(op->backend) + 1;
    snprintf(group, bytes, "%s%s", op->backend == NULL ? "" : "attention_", rest);
}

static bool is_of_group(const GoldenRecord *record, const char *group) {
    size_t length = strlen(group);
    return strncmp(record->name, group, length) == 0 && record->name[length] == '/';
}

static bool has_group(const char *group) {
    for (int i = 0; i < golden.n_records; i++) {
        if (is_of_group(&golden.records[i], group)) return true;
    }
    return false;
}

static void every_case_with_vectors(void) {
    for (int i = 0; i < n_op_cases; i++) {
        char group[96];
        group_of(&op_cases[i], group, sizeof group);
        if (has_group(group)) check_case(&op_cases[i], group);
    }
}

static void all_vectors_have_a_case(void) {
    CHECK(golden.n_records > 0 && golden.n_records < GOLDEN_MAX);
    for (int r = 0; r < golden.n_records; r++) {
        bool found = false;
        for (int i = 0; i < n_op_cases && !found; i++) {
            char group[96];
            group_of(&op_cases[i], group, sizeof group);
            found = is_of_group(&golden.records[r], group);
        }
        if (!found) printf("\n    no case for %s", golden.records[r].name);
        CHECK(found);
    }
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(every_case_with_vectors), TEST(all_vectors_have_a_case)};
    if (failed(device_open_cpu(1, &device))) return 1;
    Status status = golden_open("tests/golden/ops.bin", &golden);
    if (failed(status)) return status_report("test_golden", status);
    int code = harness_run(argc, argv, "golden ops", tests, COUNT(tests));
    golden_close(&golden);
    device_close(&device);
    return code;
}
