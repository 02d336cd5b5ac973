/* A probe is a pure function: it changes nothing that it is given, and says what recording says. */
#include "launch/config/config_load.h"
#include "launch/run/experiment_plan.h"
#include "launch/run/memory_search.h"
#include "tests/harness.h"

#include <string.h>

static const char text[] =
    "device: cpu\nthreads: 1\nname: probe\n"
    "model: {n_layer: 2, n_head: 2, n_embd: 16, block_size: 32, vocab_size: 64, pad_vocab: 1}\n"
    "attention: {backends: [flash, math, baseline]}\n"
    "data: {train: none, batch_size: auto}\nmemory_budget: 4MiB\ntraining: {stop: {steps: 1}}\n";

static World *world;

static void experiment_open(Experiment *e, Config **config) {
    *e = (Experiment){.world = world, .plan = {.only = true, .ranks = 2}};
    REQUIRE_OK(config_load_text(text, "probe", 0, NULL, config));
    experiment_configure(e, *config);
    REQUIRE_OK(experiment_open_device(e));
    REQUIRE_OK(experiment_connect(e));
}

static void experiment_close(Experiment *e, Config **config) {
    experiment_destroy(e);
    config_destroy(config);
}

static bool same_result(const PlanResult *a, const PlanResult *b) {
    return a->bytes == b->bytes && memcmp(a->by_kind, b->by_kind, sizeof a->by_kind) == 0 &&
           a->packing_bytes == b->packing_bytes && a->checkpoint_bytes == b->checkpoint_bytes &&
           a->parameters == b->parameters && strcmp(a->attention, b->attention) == 0 &&
           a->call.B == b->call.B && a->call.HS == b->call.HS;
}

static void a_probe_changes_nothing(void) {
    Experiment e;
    Config *config;
    experiment_open(&e, &config);
    Config config_before = *config;
    Experiment before = e;
    PlanInput input = experiment_plan_input(&e);
    input.B = 3;
    PlanInput input_before = input;
    PlanResult first, second;
    CHECK_OK(plan_probe(&input, &first));
    CHECK_OK(plan_probe(&input, &second));
    CHECK(same_result(&first, &second) && first.call.B == 3 && first.bytes > 0);
    CHECK(memcmp(&input, &input_before, sizeof input) == 0);
    CHECK(memcmp(config, &config_before, sizeof *config) == 0);
    CHECK(memcmp(&e, &before, sizeof e) == 0);
    experiment_close(&e, &config);
}

static void a_search_leaves_the_experiment_alone(void) {
    Experiment e;
    Config *config;
    int64_t largest, again;
    experiment_open(&e, &config);
    Experiment before = e;
    Probes probes = {.input = experiment_plan_input(&e)};
    KernelChoice attention = experiment_attention(&e.resolved);
    CHECK_OK(memory_search_batch(&e, &probes, &attention, &largest));
    CHECK(memcmp(&e, &before, sizeof e) == 0);
    PlanResult fits, over;
    CHECK_OK(probes_find(&probes, largest, &attention, &fits));
    CHECK_OK(probes_find(&probes, largest + 1, &attention, &over));
    CHECK(fits.bytes <= 4 << 20 && over.bytes > 4 << 20);
    int recordings = probes.recordings;
    KernelChoice picked = {.count = 1, .names = {fits.attention}};
    CHECK_OK(memory_search_batch(&e, &probes, &picked, &again));
    CHECK(again == largest && probes.recordings == recordings); /* all of it was known */
    probes_free(&probes);
    experiment_close(&e, &config);
}

static void the_record_is_what_was_probed(void) {
    Experiment e;
    Config *config;
    experiment_open(&e, &config);
    REQUIRE_OK(experiment_plan(&e));
    PlanInput input = experiment_plan_input(&e);
    PlanResult probed;
    CHECK_OK(plan_probe(&input, &probed));
    CHECK(same_result(&probed, &e.planned) && e.planned.bytes <= 4 << 20);
    CHECK(config->data.batch_size == CONFIG_AUTO && e.resolved.batch_size > 1);
    int picked = 0;
    for (int i = 0; i < e.backends.count; i++) picked += e.backends.rows[i].picked;
    CHECK(picked == 1 && strcmp(e.backends.rows[0].name, e.planned.attention) == 0);
    CHECK(e.backends.rows[0].largest_batch == e.resolved.batch_size);
    experiment_close(&e, &config);
}

/* A rank without snapshots in memory has its shard alone to save from. */
static void each_rank_is_charged_what_it_saves(void) {
    Experiment e;
    Config *config;
    PlanResult single, sharded, both;
    experiment_open(&e, &config);
    PlanInput input = experiment_plan_input(&e);
    input.B = 1;
    input.sharding.ranks = 2;
    CHECK_OK(plan_probe(&input, &single));
    config->checkpoint.sharded = true;
    CHECK_OK(plan_probe(&input, &sharded));
    config->checkpoint.memory_interval.steps = 1;
    CHECK_OK(plan_probe(&input, &both));
    size_t state = single.checkpoint_bytes;
    CHECK(single.shard_bytes == 0 && state > 0);
    CHECK(sharded.checkpoint_bytes == state / 2 && sharded.shard_bytes == state / 2);
    CHECK(both.checkpoint_bytes == state / 2 + 3 * state && both.shard_bytes == state / 2);
    experiment_close(&e, &config);
}

static void a_refused_backend_is_an_error(void) {
    Experiment e;
    Config *config;
    experiment_open(&e, &config);
    PlanInput input = experiment_plan_input(&e);
    input.B = 1;
    input.attention = (KernelChoice){.count = 1, .names = {"none"}};
    PlanResult result;
    CHECK(plan_probe(&input, &result).code == STATUS_CONFIG);
    experiment_close(&e, &config);
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(a_probe_changes_nothing),       TEST(a_search_leaves_the_experiment_alone),
        TEST(the_record_is_what_was_probed), TEST(each_rank_is_charged_what_it_saves),
        TEST(a_refused_backend_is_an_error),
    };
    Status status = world_create(&argc, &argv, &world);
    if (failed(status)) return status_report("test_probe", status);
    int code = harness_run(argc, argv, "probe", tests, COUNT(tests));
    world_destroy(&world);
    return code;
}
