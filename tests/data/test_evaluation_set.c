/* The set of an evaluation has each target once, and depends only on the file, the count and T. */
#include "data/evaluation_set.h"
#include "tests/data/data_helper.h"
#include "tests/harness.h"

#include <string.h>

enum { MOST = 700 };

/* Token i of a file of n tokens is i. */
static TokenSet *counting_file(int64_t n) {
    uint16_t tokens[MOST];
    TokenSet *file = NULL;
    for (int i = 0; i < n; i++) tokens[i] = (uint16_t)i;
    static const char *directory;
    if (directory == NULL) directory = harness_directory();
    const char *path = path_in(directory, "tokens.bin");
    file_write(path, tokens, (size_t)n * sizeof *tokens);
    CHECK_OK(token_set_open_path(path, &file));
    return file;
}

/* Marks the targets of a set; false if one occurs twice, or a window exceeds its row in the
 * batch. */
static bool targets_mark(const EvaluationSet *set, uint8_t seen[MOST]) {
    memset(seen, 0, MOST);
    for (int64_t i = 0; i < set->count; i++) {
        EvaluationWindow window = evaluation_set_window(set, i);
        if (window.length < 1 || window.length > set->T) return false;
        for (int64_t t = 1; t <= window.length; t++) {
            if (seen[window.start + t]++) return false;
        }
    }
    return true;
}

static int64_t marked(const uint8_t seen[MOST]) {
    int64_t count = 0;
    for (int i = 0; i < MOST; i++) count += seen[i];
    return count;
}

static void all_is_every_target_once(void) {
    uint8_t seen[MOST];
    for (int64_t n = 2; n <= 200; n += n < 40 ? 1 : 7) {
        TokenSet *file = counting_file(n);
        for (int64_t T = 1; T <= 64; T = 2 * T + 1) {
            EvaluationSet set;
            REQUIRE_OK(evaluation_set_init(file, T, EVALUATION_ALL, &set));
            CHECK(targets_mark(&set, seen) && marked(seen) == n - 1 && !seen[0] &&
                  set.targets == n - 1);
        }
        token_set_destroy(&file);
    }
}

static void a_part_is_whole_windows(void) {
    uint8_t seen[MOST], more[MOST];
    TokenSet *file = counting_file(MOST); /* 69 windows of 10, and 9 further targets */
    memset(seen, 0, sizeof seen);
    for (int64_t tokens = 1; tokens <= 690; tokens++) {
        EvaluationSet set;
        REQUIRE_OK(evaluation_set_init(file, 10, tokens, &set));
        CHECK(set.count == (tokens + 9) / 10 && set.targets == 10 * set.count);
        CHECK(targets_mark(&set, more) && marked(more) == set.targets);
        for (int i = 0; i < MOST; i++)
            CHECK(more[i] >= seen[i]); /* a larger set contains the smaller ones */
        memcpy(seen, more, sizeof seen);
    }
    const int64_t all[] = {691, 699, 700, INT64_C(1000000000000000)};
    for (size_t i = 0; i < COUNT(all); i++) {
        EvaluationSet set;
        REQUIRE_OK(evaluation_set_init(file, 10, all[i], &set));
        CHECK(set.count == 70 && set.targets == 699 && evaluation_set_window(&set, 69).length == 9);
    }
    token_set_destroy(&file);
}

/* About a quarter of a tenth of the windows is in each quarter of the file. */
static void a_part_is_spread_over_the_file(void) {
    int quarter[4] = {0};
    TokenSet *file = counting_file(641);
    EvaluationSet set;
    REQUIRE_OK(evaluation_set_init(file, 1, 64, &set));
    for (int64_t i = 0; i < set.count; i++) quarter[evaluation_set_window(&set, i).start / 160]++;
    for (int i = 0; i < 4; i++) CHECK(quarter[i] >= 6 && quarter[i] <= 28);
    token_set_destroy(&file);
}

/* The choice of windows must never change, because old and new losses would be incomparable. */
static void the_choice_is_fixed(void) {
    TokenSet *file = counting_file(MOST);
    EvaluationSet set;
    REQUIRE_OK(evaluation_set_init(file, 10, 50, &set));
    const int64_t starts[] = {120, 290, 370, 200, 540};
    for (int64_t i = 0; i < 5; i++) CHECK(evaluation_set_window(&set, i).start == starts[i]);
    token_set_destroy(&file);
}

static void rows_are_padded(void) {
    int32_t inputs[5 * 8], targets[5 * 8];
    TokenSet *file = counting_file(20); /* windows of 8, 8 and 3 targets */
    EvaluationSet set;
    REQUIRE_OK(evaluation_set_init(file, 8, EVALUATION_ALL, &set));
    memset(inputs, 0xff, sizeof inputs);
    memset(targets, 0xff, sizeof targets);
    REQUIRE_OK(evaluation_set_fill(&set, 0, 5, inputs, targets));
    for (int i = 0; i < 5 * 8; i++) {
        CHECK(inputs[i] == (i < 19 ? i : 0));
        CHECK(targets[i] == (i < 19 ? i + 1 : 0));
    }
    token_set_destroy(&file);
}

static void a_file_without_a_target_is_refused(void) {
    EvaluationSet set;
    TokenSet *file = counting_file(1);
    CHECK_ERROR(evaluation_set_init(file, 8, EVALUATION_ALL, &set), STATUS_DATA,
                "tokens.bin: an evaluation needs at least 2 tokens, but the file has 1");
    token_set_destroy(&file);
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(all_is_every_target_once),
        TEST(a_part_is_whole_windows),
        TEST(a_part_is_spread_over_the_file),
        TEST(the_choice_is_fixed),
        TEST(rows_are_padded),
        TEST(a_file_without_a_target_is_refused),
    };
    return harness_run(argc, argv, "evaluation_set", tests, COUNT(tests));
}
