#include "launch/config/resolved.h"
#include "nn/models/families.h"
#include "tests/launch/config_texts.h"

#include <sys/stat.h>
#include <time.h>

static void defaults_are_the_blueprints(void) {
    Config *c = LOAD(LEAST);
    if (c == NULL) return;
    CHECK(strcmp(c->name, "test") == 0 && strcmp(c->output, "runs/test") == 0 && c->seed == 1337);
    CHECK(c->device == CONFIG_DEVICE_AUTO && c->threads == CONFIG_AUTO &&
          c->data.batch_size == CONFIG_AUTO);
    CHECK(strcmp(model_preset_names[c->preset], "gpt2") == 0 && c->model.L == 12 &&
          c->model.NH == 12);
    CHECK(c->model.C == 768 && c->model.T == 1024 && c->model.V == 50257);
    CHECK(c->model.bias && c->model.dropout == 0 && c->pad_vocab == 64 && c->data.val.count == 0);
    CHECK(c->attention.backends.count == 4 &&
          strcmp(attention_names[c->attention.backends.items[0]], "flash") == 0);
    CHECK(c->memory_budget.percent == 90 && c->training.dtype == CONFIG_DTYPE_FLOAT32);
    CHECK(c->optimizer.lr == 6e-4 && c->optimizer.betas[0] == 0.9 && c->optimizer.betas[1] == 0.95);
    CHECK(c->lr_scheduler.warmup.steps == 2000 && c->lr_scheduler.decay.steps == 600000 &&
          c->lr_scheduler.min_lr == 6e-5);
    CHECK(c->evaluation.interval == 250 && c->evaluation.tokens == 1000000 &&
          c->checkpoint.keep == 2);
    CHECK(c->checkpoint.interval.seconds == 600 && c->checkpoint.interval.steps == 0 &&
          c->deadline == 7);
    CHECK(c->training.stop.steps == 5 && c->training.stop.tokens == 0 &&
          c->training.stop.time == 0);
    CHECK(c->sweep == NULL && c->report.x == NULL && strcmp(c->report.metric, "val/loss") == 0);
    config_destroy(&c);
    CHECK(c == NULL);
    config_destroy(&c);
}

static void presets_give_way_to_sizes(void) {
    Config *c = LOAD(LEAST "model: {preset: gpt2-xl, n_layer: 2}\n");
    if (c == NULL) return;
    CHECK(c->model.L == 2 && c->model.NH == 25 && c->model.C == 1600);
    config_destroy(&c);
    c = LOAD(LEAST "model: {n_layer: 2, n_head: 2, n_embd: 64, block_size: 32}\n");
    CHECK(c->preset == 0 && c->model.V == CONFIG_AUTO);
    config_destroy(&c);
    c = LOAD(LEAST "model: {vocab_size: auto, preset: gpt2-medium}\n");
    CHECK(c->model.V == CONFIG_AUTO && c->model.C == 1024);
    config_destroy(&c);
}

static void the_key_decides_the_type(void) {
    Config *c = LOAD(LEAST "name: no\nseed: \"12\"\nmodel: {bias: no, dropout: 5e-1}\nlaunch: "
                           "{slurm: {account: 6e-4}}\n");
    if (c == NULL) return;
    CHECK(strcmp(c->name, "no") == 0 && c->seed == 12 && !c->model.bias && c->model.dropout == 0.5);
    CHECK(strcmp(c->launch.slurm.account, "6e-4") == 0);
    config_destroy(&c);
}

static void later_layers_win(void) {
    put_file(0, "a.yaml",
             "seed: 1\ndata: {train: a, val: a}\noptimizer: {lr: 1e-3, betas: [0.1, "
             "0.2]}\nlogging: {interval: 7}\n");
    put_file(1, "b.yaml", "seed: 2\ndata: {val: b}\noptimizer: {betas: [0.3, 0.4]}\n");
    const char *path =
        put_file(2, "c.yaml",
                 "extends: [a.yaml, b.yaml]\nname: c\ntraining: {stop: {tokens: 1M}}\n"
                 "checkpoint: {keep: 5}\nlogging: null\n");
    char *overrides[] = {"checkpoint.keep=6", "checkpoint.keep=7", "data={batch_size: 12}",
                         "data.val=~"};
    Config *c;
    REQUIRE_OK(config_load(path, 4, overrides, &c));
    CHECK(c->seed == 2 && strcmp(c->name, "c") == 0 && strcmp(c->data.train.items[0], "a") == 0);
    CHECK(c->optimizer.lr == 1e-3 && c->optimizer.betas[0] == 0.3); /* maps merge, lists replace */
    CHECK(c->checkpoint.keep == 7 && c->data.batch_size == 12);
    CHECK(c->data.val.count == 0 && c->logging.interval == 10); /* null resets to the default */
    CHECK(c->training.stop.tokens == 1000000);
    config_destroy(&c);
}

static void extends_is_relative_to_its_file(void) {
    char directory[600];
    snprintf(directory, sizeof directory, "%s/deep", test_directory());
    CHECK(mkdir(directory, 0700) == 0);
    put_file(0, "root.yaml", LEAST "seed: 9\n");
    put_file(1, "deep/middle.yaml", "extends: ../root.yaml\n");
    const char *path = put_file(2, "top.yaml",
                                "\xEF\xBB\xBF"
                                "extends: [deep/middle.yaml, root.yaml]\r\ndeadline: 3s\r\n");
    Config *c;
    REQUIRE_OK(config_load(path, 0, NULL, &c));
    CHECK(c->seed == 9 && c->deadline == 3 && strcmp(c->name, "top") == 0);
    config_destroy(&c);
}

static void interpolation_inserts_values(void) {
    setenv("HOURGLASS_TEST_ROOT", "/data/${name}", 1);
    Config *c =
        LOAD(LEAST "name: n_${model.n_layer}_${optimizer.lr}\nx-root: ${env:HOURGLASS_TEST_ROOT}\n"
                   "output: ${x-root}/${x-own.deep}/$${name}$1\nx-own: {deep: d, b: 12}\n",
             "data={val: '${x-root}/v.bin', batch_size: '${x-own.b}'}");
    if (c == NULL) return;
    CHECK(strcmp(c->name, "n_12_6e-4") == 0);
    CHECK(strcmp(c->output, "/data/${name}/d/${name}$1") ==
          0); /* an inserted text is not interpolated again */
    CHECK(strcmp(c->data.val.items[0], "/data/${name}/v.bin") == 0 && c->data.batch_size == 12);
    config_destroy(&c);
}

static void own_keys_are_ignored_anywhere(void) {
    Config *c =
        LOAD(LEAST "x-a: [1, {b: '${nothing}'}]\nmodel: {x-b: {c: 1}}\nlaunch: {slurm: {x-c: ~}}\n"
                   "sweep: {x-note: all, seed: [1, 2]}\n",
             "x-d.e.f=1");
    CHECK(c != NULL);
    config_destroy(&c);
}

static void check_same(const Config *a, const Config *b) {
    char *first = config_text(a), *second = config_text(b);
    CHECK(first != NULL && second != NULL && strcmp(first, second) == 0);
    free(first);
    free(second);
}

static void check_round_trip(const Config *config) {
    char *text = config_text(config);
    Config *again = LOAD(text);
    if (again != NULL) check_same(config, again);
    config_destroy(&again);
    free(text);
}

static void what_is_written_loads_back(void) {
    Config *c = LOAD(LEAST);
    check_round_trip(c);
    c->data.batch_size = 39; /* frozen */
    check_round_trip(c);
    config_destroy(&c);
}

static void odd_values_load_back(void) {
    Config *c = LOAD(
        "data: {train: \"a b: #c\", val: \"null\", batch_size: 3}\n"
        "name: \"ü \\\"q\\\" \\\\ $${x}\"\noutput: \"~\"\nseed: 18446744073709551615\n"
        "memory_budget: 36.5GiB\nthreads: 3\ndeadline: 0.3s\n"
        "training: {stop: {time: 1d2h3m4s500ms, steps: 1.5k, tokens: 3G}, dtype: tf32}\n"
        "checkpoint: {interval: 10k steps}\n"
        "optimizer: {lr: 0.1234567890123456, betas: [0.1, 0.30000000000000004]}\n"
        "sweep: [{seed: 1, data.val: null}, {seed: 2, data.val: \"null\"}]\n"
        "launch: {slurm: {setup: [\"module load 'x'\", 'a$${b', \"- a\\tb\\nc\"], time: 90m}}\n");
    if (c == NULL) return;
    CHECK(strcmp(c->name, "ü \"q\" \\ ${x}") == 0 && strcmp(c->data.val.items[0], "null") == 0);
    CHECK(c->training.stop.steps == 1500 && c->seed == UINT64_MAX &&
          c->checkpoint.interval.steps == 10000);
    CHECK(c->launch.slurm.setup.count == 3 && strcmp(c->launch.slurm.setup.items[1], "a${b") == 0);
    CHECK(strcmp(c->launch.slurm.setup.items[2], "- a\tb\nc") == 0);
    check_round_trip(c);
    config_destroy(&c);
}

static void words_for_numbers_load_back(void) {
    Config *c = LOAD(LEAST "evaluation: {tokens: all}\n");
    if (c == NULL) return;
    CHECK(c->evaluation.tokens == CONFIG_ALL);
    check_round_trip(c);
    config_destroy(&c);
}

/* A checkpoint of an older version cannot be edited, so its retired keys are ignored. A file can;
 * test_bad_configs checks that error. */
static void retired_keys_in_a_checkpoint_are_passed_over(void) {
    Config *c = LOAD(LEAST "evaluation: {interval: 3, batches: 200}\n");
    if (c == NULL) return;
    CHECK(c->evaluation.interval == 3 && c->evaluation.tokens == 1000000);
    config_destroy(&c);
    char *overrides[] = {"evaluation.batches=4"};
    CHECK_ERROR(config_load_text(LEAST, "run", 1, overrides, &c), STATUS_CONFIG,
                "'evaluation.batches' is gone; write 'evaluation.tokens'");
}

static void resume_names_each_difference(void) {
    Config *saved = LOAD(LEAST),
           *now = LOAD("data: {train: u.bin}\ntraining: {stop: {time: 1h}}\n", "seed=2",
                       "optimizer.betas=[0.8, 0.9]", "logging.interval=1", "name=other",
                       "checkpoint.keep=9", "threads=2", "deadline=9s");
    if (saved == NULL || now == NULL) return;
    saved->data.batch_size = 12;
    CHECK_ERROR(
        config_compare_resume(saved, now), STATUS_CONFIG,
        "the saved run differs in seed (saved 1337, now 2), "
        "optimizer.betas (saved [0.9, 0.95], now [0.8, 0.9]); set them back, or start from scratch "
        "with --resume=none "
        "and another output; "
        "lr_scheduler, training.stop, evaluation, logging and checkpoint may change");
    CHECK(strchr(status_message(), '\n') == NULL);
    config_destroy(&now);

    now = LOAD("data: {train: t.bin, val: v.bin}\ntraining: {stop: {tokens: 1G}}\n",
               "evaluation.interval=3", "output=elsewhere", "launch.slurm.nodes=2",
               "sweep={seed: [1]}", "device=cpu", "report.x=seed");
    CHECK_OK(config_compare_resume(saved, now)); /* batch_size: auto takes the frozen value */
    Resolved resolved = resolved_from(now);
    resolved_adopt(&resolved, now, saved);
    CHECK(resolved.batch_size == 12 && now->data.batch_size == CONFIG_AUTO);
    Config whole = config_resolved(now, &resolved);
    CHECK(whole.data.batch_size == 12 && whole.threads == CONFIG_AUTO);
    now->data.batch_size = 13;
    CHECK_OK(
        config_compare_resume(saved, now)); /* the global batch is compared with the checkpoint */
    char *changes = NULL;
    CHECK_OK(config_changes(saved, now, &changes));
    CHECK(strncmp(changes, "data.batch_size (saved 12, now 13), training.stop.", 49) == 0);
    CHECK(strstr(changes, "evaluation.interval (saved 250, now 3)") != NULL &&
          strstr(changes, "output") == NULL);
    free(changes);
    config_destroy(&now);
    config_destroy(&saved);
}

static void names_of_enums(void) {
    CHECK(strcmp(config_name("training.dtype", CONFIG_DTYPE_TF32), "tf32") == 0);
    CHECK(strcmp(config_name("attention.backends", 0), attention_names[0]) == 0);
    CHECK(strcmp(config_name("report.reduce", CONFIG_REDUCE_MEAN), "mean") == 0);
    CHECK(strcmp(config_name("training.recompute", CONFIG_RECOMPUTE_BLOCK), "block") == 0);
    CHECK(strcmp(config_name("attention.pick", CONFIG_PICK_MEASURED), "measured") == 0);
    CHECK(strcmp(config_name("model.preset", 4), "gpt2-xl") == 0);
    CHECK(strcmp(config_name("device", CONFIG_DEVICE_CUDA), "cuda") == 0);
    CHECK(config_name("device", 3) == NULL && config_name("device", -1) == NULL &&
          config_name("seed", 0) == NULL);
}

static void the_reference_page_is_current(void) {
    char *text = NULL, *kept = calloc(1, 1 << 16);
    size_t bytes;
    FILE *file = open_memstream(&text, &bytes);
    CHECK_OK(config_reference(file));
    fclose(file);
    if (getenv("UPDATE_DOCS") != NULL) {
        file = fopen("docs/config.md", "w");
        CHECK(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
    }
    file = fopen("docs/config.md", "r");
    size_t length = file == NULL ? 0 : fread(kept, 1, (1 << 16) - 1, file);
    if (file != NULL) fclose(file);
    bool is_current = length == bytes && memcmp(text, kept, bytes) == 0;
    if (!is_current)
        puts("docs/config.md is stale: run this test from the root with UPDATE_DOCS=1");
    CHECK(is_current);
    free(text);
    free(kept);
}

/* Each file overrides the keys of the previous one: 588,000 keys and values. */
static void large_files_that_extend_each_other_load_soon(void) {
#ifdef __SANITIZE_ADDRESS__
    enum { FILES = 12, KEYS = 4900 };
#else
    enum { FILES = 60, KEYS = 4900 };
#endif
    char name[32];
    const char *path = NULL;
    for (int i = 0; i < FILES; i++) {
        char *text = NULL;
        size_t bytes;
        FILE *file = open_memstream(&text, &bytes);
        if (i > 0) fprintf(file, "extends: f%d.yaml\n", i - 1);
        if (i == 0) fputs(LEAST, file);
        for (int k = 0; k < KEYS; k++) fprintf(file, "x-%d: %d\n", k, i);
        if (i == FILES - 1) fprintf(file, "seed: ${x-%d}\n", KEYS - 1);
        fclose(file);
        snprintf(name, sizeof name, "f%d.yaml", i);
        path = put_file(0, name, text);
        free(text);
    }
    clock_t begin = clock();
    Config *config = NULL;
    REQUIRE_OK(config_load(path, 0, NULL, &config));
    CHECK((double)(clock() - begin) / CLOCKS_PER_SEC <
          30); /* half a second; key by key it takes minutes */
    CHECK(config->seed == FILES - 1);
    config_destroy(&config);
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(defaults_are_the_blueprints),
        TEST(presets_give_way_to_sizes),
        TEST(the_key_decides_the_type),
        TEST(later_layers_win),
        TEST(extends_is_relative_to_its_file),
        TEST(interpolation_inserts_values),
        TEST(own_keys_are_ignored_anywhere),
        TEST(what_is_written_loads_back),
        TEST(odd_values_load_back),
        TEST(words_for_numbers_load_back),
        TEST(retired_keys_in_a_checkpoint_are_passed_over),
        TEST(resume_names_each_difference),
        TEST(names_of_enums),
        TEST(large_files_that_extend_each_other_load_soon),
        TEST(the_reference_page_is_current),
    };
    return harness_run(argc, argv, "config", tests, COUNT(tests));
}
