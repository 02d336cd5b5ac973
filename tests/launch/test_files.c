/* What is written whole or not at all, and what is read back of a run. */
#include "launch/output.h"
#include "launch/run_files.h"
#include "launch/text_file.h"
#include "tests/harness.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *path_in(const char *directory, const char *name) {
    static char paths[4][4096];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static bool holds(const char *path, const char *wanted) {
    Arena arena = {0};
    const char *text = text_file_read(&arena, path);
    bool same = text != NULL && strcmp(text, wanted) == 0;
    arena_free(&arena);
    return same;
}

static bool is_there(const char *path) {
    struct stat info;
    return lstat(path, &info) == 0;
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
    CHECK(holds(path_in(dir, "f"), "before") && !is_there(path_in(dir, "f.new")));
    CHECK(mkdir(path_in(dir, "d"), 0777) == 0);
    CHECK_ERROR(text_file_replace(path_in(dir, "d"), "x"), STATUS_FAILURE, "/d: cannot write: Is a directory");
    CHECK(!is_there(path_in(dir, "d.new")));
    CHECK_ERROR(text_file_replace_json(path_in(dir, "f"), NULL, 0), STATUS_FAILURE, "out of memory");
    CHECK(holds(path_in(dir, "f"), "before"));
}

/* A child that is killed with a long beginning written. */
static void what_a_killed_writer_left_is_written_over(void) {
    const char *dir = harness_directory();
    pid_t child = fork();
    if (child == 0) {
        Output output;
        if (!failed(output_open(path_in(dir, "f"), &output)))
            fputs("a beginning that goes on for a while", output.file);
        fflush(output.file);
        raise(SIGKILL);
    }
    waitpid(child, NULL, 0);
    CHECK(is_there(path_in(dir, "f.new")) && !is_there(path_in(dir, "f")));
    CHECK_OK(text_file_replace(path_in(dir, "f"), "short"));
    CHECK(holds(path_in(dir, "f"), "short") && !is_there(path_in(dir, "f.new")));
}

static void a_second_writer_waits_for_the_first(void) {
    const char *dir = harness_directory();
    Output output;
    int status;
    REQUIRE_OK(output_open(path_in(dir, "f"), &output));
    fputs("first", output.file);
    pid_t child = fork();
    if (child == 0) {
        close(fileno(output.file)); /* with the lock that it shares */
        _exit(failed(text_file_replace(path_in(dir, "f"), "second")) ? 1 : 0);
    }
    usleep(100000);
    CHECK(waitpid(child, &status, WNOHANG) == 0 && !is_there(path_in(dir, "f")));
    CHECK_OK(output_finish(&output, OK));
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(holds(path_in(dir, "f"), "second") && !is_there(path_in(dir, "f.new")));
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
    RunFacts none = run_facts_read(dir, &arena);
    CHECK(none.status[0] == '\0' && isnan(none.steps) && isnan(none.batch_size));
    REQUIRE_OK(text_file_replace(path_in(dir, "plan.json"),
                                 "{\"batch_size\": 4, \"planned_bytes\": 7, \"attention\": \"math\"}"));
    RunFacts planned = run_facts_read(dir, &arena);
    CHECK(planned.batch_size == 4 && planned.planned_bytes == 7 && strcmp(planned.attention, "math") == 0);
    REQUIRE_OK(text_file_replace(path_in(dir, "summary.json"),
                                 "{\"batch_size\": 5, \"status\": \"done\", \"steps\": \"many\"}"));
    RunFacts ended = run_facts_read(dir, &arena);
    CHECK(ended.batch_size == 5 && ended.planned_bytes == 7 && strcmp(ended.status, "done") == 0 && isnan(ended.steps));
    arena_free(&arena);
}

static void whole_lines_are_read_as_records(void) {
    const char *dir = harness_directory();
    Arena arena = {0};
    CHECK(run_records_read(dir, NULL, 0, &arena).count == 0);
    REQUIRE_OK(text_file_replace(path_in(dir, "metrics.jsonl"),
                                 "{\"step\": 1, \"train/loss\": 3, \"lr\": 0.5}\nno record\n[4]\n"
                                 "{\"step\": 2, \"val/loss\": 2}\n{\"step\": 3}"));
    RunRecords all = run_records_read(dir, "lr", 0, &arena), last = run_records_read(dir, NULL, 45, &arena);
    CHECK(all.count == 2 && all.items[0].metric == 0.5 && all.items[0].train_loss == 3 && isnan(all.items[1].metric));
    CHECK(last.count == 1 && last.items[0].step == 2 && last.items[0].val_loss == 2 && isnan(last.items[0].train_loss));
    arena_free(&arena);
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(what_failed_leaves_nothing),          TEST(what_a_killed_writer_left_is_written_over),
        TEST(a_second_writer_waits_for_the_first), TEST(a_link_is_replaced_but_for_one_that_is_named),
        TEST(a_summary_goes_before_a_plan),        TEST(whole_lines_are_read_as_records),
    };
    return harness_run(argc, argv, "files", tests, COUNT(tests));
}
