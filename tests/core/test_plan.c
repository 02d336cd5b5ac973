/* The planner against a brute-force oracle on random programs, and on a real program that runs in
 * its arena. */
#include "core/plan.h"
#include "core/rng.h"
#include "core/store.h"
#include "tests/core/ops_cases_helper.h"
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TENSORS = 160, MAX_NODES = 120 };

static uint64_t n_drawn;

static int64_t below(int64_t limit) {
    return (int64_t)(philox(5, n_drawn++, 1).word[0] % (uint64_t)limit);
}

/* Attributes, if any: the bytes of scratch memory. */
static size_t scratch_bytes(const Node *node, const Target *target) {
    (void)target;
    return node->attrs_bytes == 0 ? 0 : *(const size_t *)node->attrs;
}

static const Op nothing_op = {
    .name = "nothing",
    .kernels = KERNELS(
        &(const Kernel){.device = DEVICE_CPU, .dtypes = DTYPES_ALL, .workspace = scratch_bytes}),
};

static Program *program_new(void) {
    Program *p = NULL;
    return CHECK_OK(program_create((Target){.kind = DEVICE_CPU, .threads = 1}, false, &p)) ? p
                                                                                           : NULL;
}

/* A tensor of the program, a view of one, or (rarely) one of the store. */
static Tensor *tensor_new(Program *p, Tensor **all, int count, Tensor *persistent) {
    int64_t kind = below(8);
    if (kind == 0) return persistent;
    if (kind == 1 && count > 0 && all[count - 1] != persistent)
        return program_rows(p, all[count - 1], 0, 1);
    int64_t columns = below(4) == 0 ? below(9000) : below(300) + 1;
    return program_tensor(p, (BufferKind)below(BUFFER_KINDS), below(2) ? DTYPE_F32 : DTYPE_F64, 2,
                          (int64_t[]){below(3) + 1, columns});
}

/* Random nodes: read and write near and far tensors, sometimes the same one in place, with scratch
 * memory. */
static Program *random_program(Tensor *persistent) {
    Tensor *all[MAX_TENSORS];
    int count = 0, n_nodes = (int)below(MAX_NODES) + 1;
    Program *p = program_new();
    for (int n = 0; p != NULL && n < n_nodes; n++) {
        if (count < MAX_TENSORS) {
            all[count] = tensor_new(p, all, count, persistent);
            count += all[count] != NULL;
        }
        Tensor *out = all[count - 1], *near = all[below(count)],
               *far = below(3) ? NULL : all[below(count)];
        Tensor *second = below(4) ? NULL : all[below(count)];
        size_t scratch = below(3) ? 0 : (size_t)below(5000);
        program_record(p, (Recording){&nothing_op, &scratch, sizeof scratch, TENSORS(near, far),
                                      TENSORS(out, second), NULL});
    }
    return p;
}

static bool mentions(const Node *node, const Buffer *buffer) {
    bool found = node->workspace != NULL && node->workspace->buffer == buffer;
    for (int i = 0; i < node->n_inputs; i++)
        found |= node->inputs[i] != NULL && node->inputs[i]->buffer == buffer;
    for (int i = 0; i < node->n_outputs; i++)
        found |= node->outputs[i] != NULL && node->outputs[i]->buffer == buffer;
    return found;
}

/* [first, last] by looking at every node; false if the buffer is unused. */
static bool life_of(const Program *p, const Buffer *buffer, int *first, int *last) {
    *first = *last = -1;
    for (int n = 0; n < p->n_nodes; n++) {
        if (!mentions(p->nodes[n], buffer)) continue;
        if (*first < 0) *first = n;
        *last = n;
    }
    return *first >= 0;
}

static size_t rounded(size_t bytes) {
    return (bytes + PLAN_ALIGNMENT - 1) / PLAN_ALIGNMENT * PLAN_ALIGNMENT;
}

static size_t live_bytes_at(const Program *p, int node, size_t by_kind[BUFFER_KINDS]) {
    size_t sum = 0;
    memset(by_kind, 0, BUFFER_KINDS * sizeof *by_kind);
    for (int i = 0; i < p->n_buffers; i++) {
        int first, last;
        if (!life_of(p, p->buffers[i], &first, &last) || first > node || last < node) continue;
        sum += rounded(p->buffers[i]->bytes);
        by_kind[p->buffers[i]->kind] += rounded(p->buffers[i]->bytes);
    }
    return sum;
}

static void check_peak(const Program *p, const Plan *plan) {
    size_t most = 0, by_kind[BUFFER_KINDS], sum = 0;
    for (int n = 0; n < p->n_nodes; n++) {
        size_t here = live_bytes_at(p, n, by_kind);
        most = here > most ? here : most;
    }
    CHECK(plan->live_bytes == most);
    CHECK(live_bytes_at(p, plan->peak_node, by_kind) == most);
    CHECK(memcmp(by_kind, plan->by_kind, sizeof by_kind) == 0);
    for (int k = 0; k < BUFFER_KINDS; k++) sum += plan->by_kind[k];
    CHECK(sum == most);
    CHECK(plan->bytes >= plan->live_bytes);
}

/* Two buffers with overlapping lifetimes share no byte; each is aligned and inside the arena. */
static void check_places(const Program *p, const Plan *plan, char *arena) {
    bool right = plan->n_buffers == p->n_buffers;
    for (int i = 0; i < p->n_buffers && right; i++) {
        const Buffer *a = p->buffers[i];
        int a_first, a_last, b_first, b_last;
        bool used = life_of(p, a, &a_first, &a_last);
        right &= used == (a->data != NULL);
        if (!used) continue;
        char *start = a->data;
        right &= start >= arena && start + a->bytes <= arena + plan->bytes &&
                 (start - arena) % PLAN_ALIGNMENT == 0;
        for (int j = 0; j < i; j++) {
            const Buffer *b = p->buffers[j];
            if (!life_of(p, b, &b_first, &b_last) || a_first > b_last || b_first > a_last) continue;
            right &= start + a->bytes <= (char *)b->data || (char *)b->data + b->bytes <= start;
        }
    }
    CHECK(right);
}

static void random_programs(void) {
    Buffer store = {.persistent = true, .bytes = 4096};
    char *kept = malloc(store.bytes);
    store.data = kept;
    Tensor persistent = {.buffer = &store, .dtype = DTYPE_F32, .n_dims = 1, .shape = {1024}};
    for (int round = 0; round < 150; round++) {
        Program *p = random_program(&persistent);
        Plan *plan = NULL;
        if (p == NULL || !CHECK_OK(program_status(p)) || !CHECK_OK(plan_create(p, &plan))) break;
        char *arena = aligned_alloc(PLAN_ALIGNMENT, plan->bytes + PLAN_ALIGNMENT);
        plan_bind(plan, p, arena);
        check_peak(p, plan);
        check_places(p, plan, arena);
        CHECK(store.data == kept);
        free(arena);
        plan_destroy(&plan);
        program_destroy(&p);
    }
    free(kept);
}

static void empty_and_unused(void) {
    Program *p = program_new();
    Plan *plan = NULL;
    REQUIRE_OK(plan_create(p, &plan));
    CHECK(plan->bytes == 0 && plan->live_bytes == 0);
    plan_destroy(&plan);
    program_tensor(p, BUFFER_ACTIVATIONS, DTYPE_F32, 1, (int64_t[]){1000});
    REQUIRE_OK(plan_create(p, &plan));
    CHECK(plan->bytes == 0);
    plan_bind(plan, p, NULL);
    CHECK(p->buffers[0]->data == NULL);
    plan_destroy(&plan);
    program_destroy(&p);
}

/* A chain of equal tensors, each read only by the next op, needs the memory of two. */
static void chain_takes_two(void) {
    Program *p = program_new();
    Tensor *previous = NULL;
    for (int i = 0; i < 20; i++) {
        Tensor *next = program_tensor(p, BUFFER_ACTIVATIONS, DTYPE_F32, 1, (int64_t[]){1024});
        program_record(p,
                       (Recording){&nothing_op, NULL, 0, TENSORS(previous), TENSORS(next), NULL});
        previous = next;
    }
    Plan *plan = NULL;
    REQUIRE_OK(plan_create(p, &plan));
    CHECK(plan->bytes == 2 * 4096 && plan->live_bytes == 2 * 4096);
    plan_destroy(&plan);
    program_destroy(&p);
}

/* Each buffer in separate memory, filled with NaN: correct for any plan. */
static void bind_apart(const Program *p, char **memory) {
    for (int i = 0; i < p->n_buffers; i++) {
        memory[i] = aligned_alloc(PLAN_ALIGNMENT, rounded(p->buffers[i]->bytes) + PLAN_ALIGNMENT);
        memset(memory[i], 0xFF, rounded(p->buffers[i]->bytes));
        p->buffers[i]->data = memory[i];
    }
}

static bool same_as(CaseRun *planned, CaseRun *apart) {
    bool same = true;
    for (int i = 0; i < planned->n_inputs; i++) {
        const Tensor *a = planned->inputs[i].grad, *b = apart->inputs[i].grad;
        same &= memcmp(tensor_data(a), tensor_data(b), tensor_bytes(a)) == 0;
    }
    return same;
}

/* Every op case computes the same bits in the planned arena and with separate buffers. */
static void arena_changes_nothing(void) {
    Device *device = NULL;
    REQUIRE_OK(device_open_cpu(1, &device));
    for (int i = 0; i < n_op_cases; i++) {
        CaseRun *planned = NULL, *apart = NULL;
        bool ready =
            CHECK_OK(case_create(&op_cases[i], device->target, DTYPE_F32, false, &planned)) &&
            CHECK_OK(case_create(&op_cases[i], device->target, DTYPE_F32, false, &apart)) &&
            CHECK_OK(case_bind(planned, device)) && CHECK_OK(case_bind(apart, device));
        char **memory = calloc(ready ? (size_t)apart->program->n_buffers + 1 : 1, sizeof *memory);
        if (ready) {
            bind_apart(apart->program, memory);
            memset(planned->bound.memory, 0xFF, planned->bound.bytes);
            CHECK_OK(case_replay(planned));
            CHECK_OK(case_replay(apart));
            if (!same_as(planned, apart)) printf("\n    %s differs", op_cases[i].name);
            CHECK(same_as(planned, apart));
            for (int k = 0; k < apart->program->n_buffers; k++) free(memory[k]);
        }
        free(memory);
        case_destroy(&planned);
        case_destroy(&apart);
    }
    device_close(&device);
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(random_programs), TEST(empty_and_unused), TEST(chain_takes_two),
                          TEST(arena_changes_nothing)};
    return harness_run(argc, argv, "plan", tests, COUNT(tests));
}
