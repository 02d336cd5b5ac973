/* Files that are written atomically, and the files of a run that are read back. */
#include "core/base/file.h"
#include "launch/base/output.h"
#include "launch/base/text_file.h"
#include "launch/run/run_files.h"
#include "tests/harness.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool holds(const char *path, const char *wanted) {
    Arena arena = {0};
    const char *text = NULL;
    if (!CHECK_OK(text_file_read(&arena, path, &text))) return false;
    bool same = text != NULL && strcmp(text, wanted) == 0;
    arena_free(&arena);
    return same;
}

static int entries_count;
static bool entry_count(void *context, const char *name) {
    (void)context, (void)name;
    entries_count++;
    return true;
}

static int files_in(const char *dir) {
    entries_count = 0;
    CHECK_OK(file_list(dir, entry_count, NULL));
    return entries_count;
}

static void what_failed_leaves_nothing(void) {
    const char *dir = harness_directory();
    Output output;
    REQUIRE_OK(text_file_replace(path_in(dir, "f"), "before"));
    REQUIRE_OK(output_open(path_in(dir, "f"), &output));
    fputs("after", output.file);
    fflush(output.file);
    CHECK(holds(path_in(dir, "f"), "before"));
    CHECK_ERROR(output_finish(&output, ERROR(STATUS_DATA, "no")), STATUS_DATA, "no");
    CHECK(holds(path_in(dir, "f"), "before") && files_in(dir) == 1);
    CHECK(mkdir(path_in(dir, "d"), 0777) == 0);
    CHECK_ERROR(text_file_replace(path_in(dir, "d"), "x"), STATUS_FAILURE,
                "/d: cannot write: Is a directory");
    CHECK(files_in(dir) == 2);
    CHECK_ERROR(text_file_replace_json(path_in(dir, "f"), NULL, 0), STATUS_OUT_OF_MEMORY,
                "out of memory");
    CHECK(holds(path_in(dir, "f"), "before"));
}

static void of_two_writers_each_is_whole(void) {
    const char *dir = harness_directory();
    Output first, second;
    REQUIRE_OK(output_open(path_in(dir, "f"), &first));
    REQUIRE_OK(output_open(path_in(dir, "f"), &second));
    fputs("first", first.file);
    fputs("second", second.file);
    CHECK_OK(output_finish(&second, OK));
    CHECK(holds(path_in(dir, "f"), "second"));
    CHECK_OK(output_finish(&first, OK));
    CHECK(holds(path_in(dir, "f"), "first") && files_in(dir) == 1);
}

static void a_file_that_came_meanwhile_stays(void) {
    const char *dir = harness_directory();
    Output output;
    REQUIRE_OK(output_create(path_in(dir, "f"), &output));
    REQUIRE_OK(text_file_replace(path_in(dir, "f"), "theirs"));
    fputs("ours", output.file);
    CHECK_ERROR(output_finish(&output, OK), STATUS_DATA, "/f: already exists; remove it first");
    CHECK_ERROR(output_create(path_in(dir, "f"), &output), STATUS_DATA,
                "/f: already exists; remove it first");
    CHECK(holds(path_in(dir, "f"), "theirs") && files_in(dir) == 1);
}

static void a_link_is_replaced_but_for_one_that_is_named(void) {
    const char *dir = harness_directory();
    struct stat info;
    Output output;
    REQUIRE_OK(text_file_replace(path_in(dir, "target"), "mine"));
    CHECK(symlink("target", path_in(dir, "link")) == 0);
    REQUIRE_OK(output_open_named(path_in(dir, "link"), &output));
    fputs("through", output.file);
    CHECK_OK(output_finish(&output, OK));
    CHECK(holds(path_in(dir, "target"), "through"));
    CHECK(lstat(path_in(dir, "link"), &info) == 0 && S_ISLNK(info.st_mode));
    REQUIRE_OK(text_file_replace(path_in(dir, "link"), "instead"));
    CHECK(lstat(path_in(dir, "link"), &info) == 0 && S_ISREG(info.st_mode));
    CHECK(holds(path_in(dir, "target"), "through"));
}

static void a_summary_goes_before_a_plan(void) {
    const char *dir = harness_directory();
    Arena arena = {0};
    RunFacts none, planned, ended;
    REQUIRE_OK(run_facts_read(dir, &arena, &none));
    CHECK(none.status[0] == '\0' && isnan(none.steps) && isnan(none.batch_size));
    REQUIRE_OK(
        text_file_replace(path_in(dir, "plan.json"),
                          "{\"batch_size\": 4, \"planned_bytes\": 7, \"attention\": \"math\"}"));
    REQUIRE_OK(run_facts_read(dir, &arena, &planned));
    CHECK(planned.batch_size == 4 && planned.planned_bytes == 7 &&
          strcmp(planned.attention, "math") == 0);
    REQUIRE_OK(text_file_replace(path_in(dir, "summary.json"),
                                 "{\"batch_size\": 5, \"status\": \"done\", \"steps\": \"many\"}"));
    REQUIRE_OK(run_facts_read(dir, &arena, &ended));
    CHECK(ended.batch_size == 5 && ended.planned_bytes == 7 && strcmp(ended.status, "done") == 0 &&
          isnan(ended.steps));
    arena_free(&arena);
}

static void whole_lines_are_read_as_records(void) {
    const char *dir = harness_directory();
    Arena arena = {0};
    RunRecords all, last;
    REQUIRE_OK(run_records_read(dir, NULL, 0, &arena, &all));
    CHECK(all.count == 0);
    REQUIRE_OK(text_file_replace(path_in(dir, "metrics.jsonl"),
                                 "{\"step\": 1, \"train/loss\": 3, \"lr\": 0.5}\nno record\n[4]\n"
                                 "{\"step\": 2, \"val/loss\": 2}\n{\"step\": 3}"));
    REQUIRE_OK(run_records_read(dir, "lr", 0, &arena, &all));
    REQUIRE_OK(run_records_read(dir, NULL, 45, &arena, &last));
    CHECK(all.count == 2 && all.items[0].metric == 0.5 && all.items[0].train_loss == 3 &&
          isnan(all.items[1].metric));
    CHECK(last.count == 1 && last.items[0].step == 2 && last.items[0].val_loss == 2 &&
          isnan(last.items[0].train_loss));
    arena_free(&arena);
}

static void zero_bytes_hide_nothing(void) {
    static const char lines[] = "{\"step\": 1}\n\0\0\0{\"step\": 2}\n\0\0\0\n{\"step\": 3}\n";
    const char *dir = harness_directory();
    char text[64];
    Arena arena = {0};
    RunRecords all, last;
    FILE *file = fopen(path_in(dir, "metrics.jsonl"), "w");
    CHECK(file != NULL && fwrite(lines, sizeof lines - 1, 1, file) == 1 && fclose(file) == 0);
    REQUIRE_OK(run_records_read(dir, NULL, 0, &arena, &all));
    REQUIRE_OK(run_records_read(dir, NULL, sizeof lines - 1, &arena, &last));
    CHECK(all.count == 3 && all.items[1].step == 2 && last.count == 2 && last.items[1].step == 3);
    REQUIRE_OK(text_file_tail(path_in(dir, "metrics.jsonl"), text, sizeof text));
    CHECK(strlen(text) == sizeof lines - 1);
    arena_free(&arena);
}

static void a_line_of_any_length_is_appended(void) {
    enum { LONG = 100000 };
    static char line[LONG + 1], wanted[LONG + 2];
    const char *path = path_in(harness_directory(), "log");
    memset(line, 'x', LONG);
    snprintf(wanted, sizeof wanted, "%s\n", line);
    REQUIRE_OK(text_file_append(path, line));
    CHECK(holds(path, wanted));
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(what_failed_leaves_nothing),       TEST(of_two_writers_each_is_whole),
        TEST(a_file_that_came_meanwhile_stays), TEST(a_link_is_replaced_but_for_one_that_is_named),
        TEST(a_summary_goes_before_a_plan),     TEST(whole_lines_are_read_as_records),
        TEST(zero_bytes_hide_nothing),          TEST(a_line_of_any_length_is_appended),
    };
    return harness_run(argc, argv, "files", tests, COUNT(tests));
}
