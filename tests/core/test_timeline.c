/* The expected time of a program on several ranks, from op times and collective costs that are
 * known by hand. */
#include "core/ops/collective.h"
#include "core/ops/copy.h"
#include "core/perf/predict.h"
#include "core/perf/timeline.h"
#include "tests/harness.h"

enum { COUNT_OF_ELEMENTS = 1000 };

static const Target cpu = {.kind = DEVICE_CPU};
static const Ceilings ceilings = {.flops = 1e9, .bytes = 8e6}; /* a copy of 8000 bytes: 1 ms */
static const Collectives ranks = {.size = 2};

/* An all-reduce takes 3 units, a reduce-scatter 2, an all-gather 1; one unit is `self`. */
static CollectiveCost cost(const void *self, CollectiveKind kind, size_t bytes) {
    const double units[] = {3, 2, 1};
    CHECK(bytes == 4 * COUNT_OF_ELEMENTS);
    return (CollectiveCost){.seconds = units[kind] * *(const double *)self};
}

/* `bytes` of memory traffic and no duration. */
static CollectiveCost traffic(const void *self, CollectiveKind kind, size_t bytes) {
    (void)kind, (void)bytes;
    return (CollectiveCost){.bytes = *(const double *)self};
}

static Tensor *vector(Program *p) {
    return program_tensor(p, BUFFER_INPUTS, DTYPE_F32, 1, (int64_t[]){COUNT_OF_ELEMENTS});
}

static void work(Program *p) { copy_record(p, vector(p), vector(p), false); }

/* work, start a, work, start b, work, wait for a, work, wait for all. */
static Program *two_sums(void) {
    Program *p = NULL;
    CHECK_OK(program_create(cpu, false, &p));
    Tensor *a = vector(p), *b = vector(p);
    work(p);
    all_reduce_record(p, &ranks, a, "a");
    work(p);
    all_reduce_record(p, &ranks, b, "b");
    work(p);
    collectives_wait_record(p, &ranks, 1, a);
    work(p);
    collectives_wait_record(p, &ranks, 0, b);
    CHECK_OK(program_status(p));
    return p;
}

static Timeline times(const Program *p, double unit) {
    Timeline t = {0};
    timeline_add(&t, p, &ceilings, (CollectiveModel){cost, &unit});
    return t;
}

static void waits_cost_what_does_not_overlap(void) {
    Program *p = two_sums();
    double op = predict_node(p->nodes[0], &ceilings);
    CHECK_CLOSE(1e3 * op, 1, 0.01);
    Timeline hidden = times(p, 0.3 * op); /* both sums end during the work behind them */
    CHECK_CLOSE(hidden.seconds / op, 4, 1e-9);
    CHECK_CLOSE(hidden.communication / op, 1.8, 1e-9);
    CHECK(hidden.exposed == 0);
    /* a runs from 1 to 4, b from 4 to 7: the first wait costs 1, the second 2. */
    Timeline exposed = times(p, op);
    CHECK_CLOSE(exposed.seconds / op, 7, 1e-9);
    CHECK_CLOSE(exposed.exposed / op, 3, 1e-9);
    CHECK_CLOSE(exposed.communication / op, 6, 1e-9);
    program_destroy(&p);
}

static void a_step_of_several_programs_goes_on(void) {
    Program *p = two_sums();
    double op = predict_node(p->nodes[0], &ceilings);
    Timeline t = {0};
    for (int i = 0; i < 3; i++) timeline_add(&t, p, &ceilings, (CollectiveModel){cost, &op});
    CHECK_CLOSE(t.seconds / op, 21, 1e-9);
    CHECK(t.started == 6);
    program_destroy(&p);
}

static void each_kind_has_its_cost(void) {
    Program *p = NULL;
    REQUIRE_OK(program_create(cpu, false, &p));
    Tensor *t = vector(p);
    all_gather_record(p, &ranks, t, "gather");
    collectives_wait_record(p, &ranks, 0, t);
    reduce_scatter_record(p, &ranks, t, "scatter");
    collectives_wait_record(p, &ranks, 0, t);
    Timeline exposed = times(p, 1);
    CHECK(exposed.seconds == 3 && exposed.exposed == 3);
    program_destroy(&p);
}

static void traffic_slows_the_model(void) {
    Program *p = two_sums();
    double op = predict_node(p->nodes[0], &ceilings), bytes = 8e3;
    Timeline t = {0};
    timeline_add(&t, p, &ceilings, (CollectiveModel){traffic, &bytes});
    CHECK_CLOSE(t.seconds - 4 * op, 2e-3, 1e-9);
    CHECK_CLOSE(t.exposed, 2e-3, 1e-9);
    program_destroy(&p);
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(waits_cost_what_does_not_overlap),
                          TEST(a_step_of_several_programs_goes_on), TEST(each_kind_has_its_cost),
                          TEST(traffic_slows_the_model)};
    return harness_run(argc, argv, "timelines", tests, COUNT(tests));
}
