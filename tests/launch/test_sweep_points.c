#include "launch/config/config_load.h"
#include "launch/config/sweep_points.h"
#include "tests/launch/config_texts.h"

#include <time.h>

static SweepPoints *expand(const char *text, Config **config) {
    SweepPoints *points = NULL;
    *config = LOAD(text);
    if (*config != NULL) CHECK_OK(sweep_expand(*config, &points));
    return points;
}

static void a_grid_varies_its_last_key_fastest(void) {
    Config *config;
    SweepPoints *p = expand(LEAST "sweep:\n  attention.backends: [[baseline], [flash, math]]\n"
                                  "  data.batch_size: [12, 24, 39]\n  optimizer.lr: [6e-4, 1e-3]\n",
                            &config);
    if (p == NULL) return;
    CHECK(p->count == 12);
    CHECK(strcmp(p->points[0].name, "backends-baseline_batch_size-12_lr-0.0006") == 0);
    CHECK(strcmp(p->points[1].name, "backends-baseline_batch_size-12_lr-0.001") == 0);
    CHECK(strcmp(p->points[11].name, "backends-flash-math_batch_size-39_lr-0.001") == 0);
    CHECK(p->points[11].n_overrides == 3);
    CHECK(strcmp(p->points[11].overrides[0], "attention.backends=[flash, math]") == 0);
    CHECK(strcmp(p->points[11].overrides[1], "data.batch_size=39") == 0);
    Config *run = NULL;
    CHECK_OK(
        config_load_text(LEAST, "run", p->points[11].n_overrides, p->points[11].overrides, &run));
    CHECK(run->data.batch_size == 39 && run->attention.backends.count == 2 &&
          run->optimizer.lr == 1e-3);
    config_destroy(&run);
    sweep_points_destroy(&p);
    CHECK(p == NULL);
    config_destroy(&config);
}

static void a_list_is_its_points(void) {
    Config *config;
    SweepPoints *p = expand(LEAST "sweep:\n  - {data.batch_size: 12, seed: 1, x-note: first}\n"
                                  "  - {data.batch_size: auto}\n  - {data.val: a/b}\n"
                                  "  - {data.val: null}\n  - {data.val: a-b}\n",
                            &config);
    if (p == NULL) return;
    static const char *const names[] = {"batch_size-12_seed-1", "batch_size-auto", "val-a-b",
                                        "val-null", "val-a-b_2"};
    CHECK(p->count == 5);
    for (int i = 0; i < 5 && i < p->count; i++) CHECK(strcmp(p->points[i].name, names[i]) == 0);
    CHECK(p->points[0].n_overrides == 2 && strcmp(p->points[3].overrides[0], "data.val=null") == 0);
    sweep_points_destroy(&p);
    config_destroy(&config);
}

static void without_a_sweep_there_is_one_point(void) {
    Config *config;
    SweepPoints *p = expand(LEAST "name: alone\n", &config);
    if (p == NULL) return;
    CHECK(p->count == 1 && strcmp(p->points[0].name, "alone") == 0 &&
          p->points[0].n_overrides == 0);
    sweep_points_destroy(&p);
    config_destroy(&config);
}

static void a_point_may_refer_to_other_keys(void) {
    Config *config;
    SweepPoints *p = expand(LEAST "name: n\nsweep: {data.val: [\"${name}.bin\", b]}\n", &config);
    if (p == NULL) return;
    Config *run = NULL;
    CHECK_OK(config_load_text(LEAST "name: m\n", "run", 1, p->points[0].overrides, &run));
    CHECK(run != NULL && strcmp(run->data.val.items[0], "m.bin") == 0);
    config_destroy(&run);
    sweep_points_destroy(&p);
    config_destroy(&config);
}

/* The values differ only in characters that a file name cannot contain. */
static void thousands_of_points_may_clean_to_one_name(void) {
    enum { VALUES = 4000 };
    char *text = NULL;
    size_t bytes;
    FILE *file = open_memstream(&text, &bytes);
    fputs(LEAST "sweep: {data.val: [", file);
    for (int i = 0; i < VALUES; i++) {
        fputs(i == 0 ? "\"a" : ", \"a", file);
        for (int rest = i + 1; rest > 0; rest /= 8) fputc("!@#&*();"[rest % 8], file);
        fputc('"', file);
    }
    fputs("]}\n", file);
    fclose(file);
    clock_t begin = clock();
    Config *config;
    SweepPoints *p = expand(text, &config);
    free(text);
    if (p == NULL) return;
    CHECK((double)(clock() - begin) / CLOCKS_PER_SEC <
          15); /* 40 ms; comparing every pair of names takes minutes */
    CHECK(p->count == VALUES && strcmp(p->points[0].name, "val-a") == 0);
    CHECK(strcmp(p->points[VALUES - 1].name, "val-a_4000") == 0 &&
          strcmp(p->points[VALUES - 1].stem, "val-a") == 0);
    sweep_points_destroy(&p);
    config_destroy(&config);
}

static void a_number_never_meets_a_name_that_is_there(void) {
    Config *config;
    SweepPoints *p =
        expand(LEAST "sweep: {data.val: [a_2, a, \"a!\", \"a*\", \"!\", \"?\"]}\n", &config);
    if (p == NULL) return;
    static const char *const names[] = {"val-a_2", "val-a", "val-a_3", "val-a_4", "val-", "val-_2"};
    for (int i = 0; i < 6 && i < p->count; i++) CHECK(strcmp(p->points[i].name, names[i]) == 0);
    sweep_points_destroy(&p);
    config_destroy(&config);
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(a_grid_varies_its_last_key_fastest),
                          TEST(a_list_is_its_points),
                          TEST(without_a_sweep_there_is_one_point),
                          TEST(a_point_may_refer_to_other_keys),
                          TEST(thousands_of_points_may_clean_to_one_name),
                          TEST(a_number_never_meets_a_name_that_is_there)};
    return harness_run(argc, argv, "sweep points", tests, COUNT(tests));
}
