#include "launch/base/text_file.h"
#include "launch/study/launcher.h"
#include "launch/study/shell_word.h"
#include "tests/harness.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static bool gpus_are(const char *visible, int gpus, int64_t parallel, int slot,
                     const char *wanted) {
    Arena arena = {0};
    const char *text = launcher_gpus(&arena, visible, gpus, parallel, slot);
    bool same = strncmp(text, "CUDA_VISIBLE_DEVICES=", 21) == 0 && strcmp(text + 21, wanted) == 0;
    arena_free(&arena);
    return same;
}

static void gpus_are_shared_out(void) {
    CHECK(gpus_are(NULL, 8, 2, 0, "0,1,2,3"));
    CHECK(gpus_are(NULL, 8, 2, 1, "4,5,6,7"));
    CHECK(gpus_are(NULL, 8, 3, 1, "2,3,4"));
    CHECK(gpus_are("5,GPU-ab,7", 3, 3, 1, "GPU-ab"));
    CHECK(gpus_are("5,6,7", 3, 1, 0, "5,6,7"));
    CHECK(gpus_are(NULL, 1, 2, 1, "0"));
}

static bool word_is(const char *word, const char *wanted) {
    char *text = NULL;
    size_t bytes;
    FILE *file = open_memstream(&text, &bytes);
    shell_word(word, file);
    fclose(file);
    bool same = strcmp(text, wanted) == 0;
    free(text);
    return same;
}

static void words_are_quoted_for_a_shell(void) {
    CHECK(word_is("runs/a-b_1.5", "runs/a-b_1.5"));
    CHECK(word_is("a b", "'a b'"));
    CHECK(word_is("it's $HOME", "'it'\\''s $HOME'"));
    CHECK(word_is("", "''"));
}

static void files_are_replaced_appended_and_read_from_the_end(void) {
    char path[256], below[256], text[8];
    snprintf(path, sizeof path, "%s/file", harness_directory());
    snprintf(below, sizeof below, "%s/none/file", harness_directory());
    CHECK_OK(text_file_replace(path, "one\n"));
    CHECK_OK(text_file_append(path, "two"));
    CHECK_OK(text_file_tail(path, text, sizeof text));
    CHECK(strcmp(text, "two\n") == 0); /* the incomplete line is omitted */
    CHECK_OK(text_file_replace(path, "three\n"));
    CHECK_OK(text_file_tail(path, text, sizeof text));
    CHECK(strcmp(text, "three\n") == 0);
    unlink(path);
    CHECK_OK(text_file_tail(path, text, sizeof text));
    CHECK(text[0] == '\0');
    CHECK(text_file_replace(below, "").code == STATUS_FAILURE);
}

/* Part of `exit 137` reads as `exit 1`, and would begin the next line. */
static void a_line_is_appended_whole_or_not_at_all(void) {
    char path[256], text[64];
    struct rlimit before, full;
    snprintf(path, sizeof path, "%s/lines", harness_directory());
    CHECK_OK(text_file_replace(path, "start\n"));
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    full = (struct rlimit){.rlim_cur = 12, .rlim_max = before.rlim_max};
    CHECK(setrlimit(RLIMIT_FSIZE, &full) == 0);
    Status status = text_file_append(path, "exit 137");
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    CHECK(status.code == STATUS_FAILURE);
    CHECK_OK(text_file_append(path, "exit 0"));
    CHECK_OK(text_file_tail(path, text, sizeof text));
    CHECK(strcmp(text, "start\nexit 0\n") == 0);
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(gpus_are_shared_out), TEST(words_are_quoted_for_a_shell),
                          TEST(files_are_replaced_appended_and_read_from_the_end),
                          TEST(a_line_is_appended_whole_or_not_at_all)};
    return harness_run(argc, argv, "sweep parts", tests, COUNT(tests));
}
