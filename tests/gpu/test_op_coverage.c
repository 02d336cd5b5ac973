/* Every op of a training step has a case that runs on every device. */
#include "tests/gpu/op_cases_helper.h"
#include "tests/nn/model_helper.h"

#include <string.h>

/* Tested in test_attention_*.c and test_documents_cuda.c. */
static bool is_elsewhere(const Op *op) {
    static const char *const names[] = {"attention", "attention_backward", "documents"};
    for (size_t i = 0; i < COUNT(names); i++) {
        if (strcmp(op->name, names[i]) == 0) return true;
    }
    return false;
}

enum { OP_SET_MAX = 64 };
typedef struct OpSet {
    const Op *ops[OP_SET_MAX];
    int count;
} OpSet;

static bool op_set_has(const OpSet *set, const Op *op) {
    for (int i = 0; i < set->count; i++) {
        if (set->ops[i] == op) return true;
    }
    return false;
}

static void op_set_add(const Node *node, void *self) {
    OpSet *set = self;
    CHECK(set->count < OP_SET_MAX);
    if (set->count < OP_SET_MAX && !op_set_has(set, node->op)) set->ops[set->count++] = node->op;
}

static void op_set_add_cases(OpSet *set, Target target, const NamedCase *cases, int count) {
    for (int i = 0; i < count; i++) case_visit(cases[i].body, target, op_set_add, set);
}

static OpSet ops_of_cases(Target target) {
    OpSet set = {0};
    op_set_add_cases(&set, target, product_cases, n_product_cases);
    op_set_add_cases(&set, target, other_cases, n_other_cases);
    op_set_add_cases(&set, target, head_cases, n_head_cases);
    op_set_add_cases(&set, target, layer_cases, n_layer_cases);
    return set;
}

static void op_check(const Op *op, void *cases) {
    bool has_case = is_elsewhere(op) || op_set_has(cases, op);
    if (!has_case) printf("\n    tests/gpu/op_cases_helper.c: no %s", op->name);
    CHECK(has_case);
}

static void every_op_of_a_gpt_has_a_case(void) {
    OpSet cases = ops_of_cases((Target){.kind = DEVICE_CPU, .threads = 1});
    model_visit_ops(op_check, &cases);
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(every_op_of_a_gpt_has_a_case)};
    return harness_run(argc, argv, "cases of ops", tests, COUNT(tests));
}
