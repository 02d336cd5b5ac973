/* Files: a missing file, a path that is not a regular file, and an unreadable file are distinct.
 * Replacement is atomic and never touches the files of others. */
#include "core/base/escape.h"
#include "core/base/file.h"
#include "core/base/replacement.h"
#include "tests/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static Status replace(const char *path, const char *text) {
    Replacement *new;
    TRY(replacement_begin(path, &new));
    return replacement_end(&new, replacement_write(new, text, strlen(text)));
}

static bool holds(const char *path, const char *wanted) {
    char *text;
    size_t size;
    if (!CHECK_OK(file_read_all(path, 1 << 20, &text, &size)) || text == NULL) return false;
    bool same = size == strlen(wanted) && strcmp(text, wanted) == 0;
    free(text);
    return same;
}

/* The names in a directory: their number, and the last one that contains `part`. */
typedef struct Names {
    int count;
    const char *part;
    char found[256];
} Names;

static bool name_take(void *context, const char *name) {
    Names *names = context;
    names->count++;
    if (strstr(name, names->part) != NULL) snprintf(names->found, sizeof names->found, "%s", name);
    return true;
}

static Names names_in(const char *directory, const char *part) {
    Names names = {.part = part};
    CHECK_OK(file_list(directory, name_take, &names));
    return names;
}

/* ---- opening and reading --------------------------------------------------------------------- */

static void what_is_not_there_is_no_error(void) {
    const char *dir = harness_directory();
    int fd = 0;
    char *text = (char *)dir;
    bool is_there = true;
    CHECK_OK(file_open_regular(path_in(dir, "none"), &fd));
    CHECK(fd == -1);
    CHECK_OK(file_read_all(path_in(dir, "none"), 10, &text, NULL));
    CHECK(text == NULL);
    CHECK_OK(file_look(path_in(dir, "none/deeper"), NULL, &is_there));
    CHECK(!is_there);
    CHECK(names_in(path_in(dir, "none"), "").count == 0);
}

static void what_is_no_file_is_not_waited_for(void) {
    const char *dir = harness_directory();
    int fd;
    CHECK(mkfifo(path_in(dir, "pipe"), 0666) == 0);
    CHECK_ERROR(file_open_regular(path_in(dir, "pipe"), &fd), STATUS_DATA,
                "/pipe: not a regular file, but a FIFO");
    CHECK_ERROR(file_open_append(path_in(dir, "pipe"), &fd), STATUS_DATA,
                ": not a regular file, but a FIFO");
    CHECK_ERROR(file_open_regular("/dev/zero", &fd), STATUS_DATA,
                "/dev/zero: not a regular file, but a device");
    CHECK_ERROR(file_open_regular(dir, &fd), STATUS_DATA, ": is a directory; name");
    CHECK_ERROR(file_list(path_in(dir, "pipe"), name_take, NULL), STATUS_FAILURE,
                "/pipe: cannot list it");
}

/* Another process creates and removes the directory at any moment of a listing. */
static void a_directory_that_appears_is_listed_or_empty(void) {
    const char *dir = path_in(harness_directory(), "flickers");
    pid_t other = fork();
    while (other == 0) {
        (void)!mkdir(dir, 0777);
        (void)!rmdir(dir);
    }
    CHECK(other > 0);
    if (other < 0) return;
    Names names = {.part = ""};
    Status status = OK;
    for (int i = 0; i < 20000 && !failed(status); i++) status = file_list(dir, name_take, &names);
    CHECK_OK(status);
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
}

static void what_cannot_be_read_is_a_failure(void) {
    const char *dir = harness_directory();
    char *text;
    int fd;
    bool is_there;
    CHECK(symlink("circle", path_in(dir, "circle")) == 0);
    CHECK_ERROR(file_look(path_in(dir, "circle"), NULL, &is_there), STATUS_DATA, "Too many levels");
    struct rlimit before, none = {0};
    REQUIRE_OK(replace(path_in(dir, "f"), "text"));
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    none.rlim_max = before.rlim_max;
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    Status opened = file_open_regular(path_in(dir, "f"), &fd);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    CHECK_ERROR(opened, STATUS_FAILURE, "/f: cannot open it: Too many open files");
    CHECK_ERROR(file_read_all("/proc/self/mem", 1 << 20, &text, NULL), STATUS_FAILURE,
                "mem: cannot read it");
    CHECK_ERROR(file_read_all(path_in(dir, "f"), 3, &text, NULL), STATUS_DATA,
                "is larger than the limit of 3 bytes");
    CHECK(text == NULL);
}

/* Files of /proc say that they are empty. */
static void a_file_is_read_to_its_end_whatever_its_size_says(void) {
    char *text;
    size_t size;
    REQUIRE_OK(file_read_all("/proc/self/status", 1 << 20, &text, &size));
    CHECK(size > 500 && strlen(text) == size && strstr(text, "VmRSS") != NULL);
    free(text);
}

static void a_link_is_not_appended_to(void) {
    const char *dir = harness_directory();
    int fd;
    REQUIRE_OK(replace(path_in(dir, "target"), "before"));
    CHECK(symlink("target", path_in(dir, "log")) == 0);
    CHECK_ERROR(file_open_append(path_in(dir, "log"), &fd), STATUS_DATA, "/log: is a link");
    CHECK(holds(path_in(dir, "target"), "before"));
}

/* ---- replacing ------------------------------------------------------------------------------- */

static void nobody_elses_file_is_touched(void) {
    const char *dir = harness_directory();
    Replacement *new;
    REQUIRE_OK(replace(path_in(dir, "f.new"), "notes"));
    REQUIRE_OK(replace(path_in(dir, "f.part"), "more notes"));
    REQUIRE_OK(replacement_begin(path_in(dir, "f"), &new));
    Names during = names_in(dir, ".hourglass");
    REQUIRE_OK(replacement_end(&new, OK));
    /* The name of a temporary file, but on a different inode: a copy made by a user. */
    REQUIRE_OK(replace(path_in(dir, "copy"), "a copy"));
    CHECK(during.found[0] == '.' &&
          file_rename(path_in(dir, "copy"), path_in(dir, during.found)) == 0);
    REQUIRE_OK(replace(path_in(dir, "f"), "after"));
    replacement_clean(dir, NULL);
    CHECK(holds(path_in(dir, during.found), "a copy"));
    CHECK(holds(path_in(dir, "f.new"), "notes") && holds(path_in(dir, "f.part"), "more notes"));
    CHECK(holds(path_in(dir, "f"), "after") && names_in(dir, "").count == 4);
}

static void kill_in(const char *path) {
    pid_t child = fork();
    if (child == 0) {
        Replacement *new;
        if (!failed(replacement_begin(path, &new)) &&
            !failed(replacement_write(new, "a beginning", 11)))
            raise(SIGKILL);
        _exit(1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    CHECK(WIFSIGNALED(status));
}

static void what_a_killed_writer_left_is_removed(void) {
    const char *dir = harness_directory();
    Replacement *alive;
    kill_in(path_in(dir, "f"));
    kill_in(path_in(dir, "g"));
    REQUIRE_OK(replacement_begin(path_in(dir, "h"), &alive));
    CHECK(names_in(dir, ".hourglass").count == 3);
    CHECK_OK(replace(path_in(dir, "f"), "short"));
    CHECK(holds(path_in(dir, "f"), "short") && names_in(dir, "").count == 3);
    replacement_clean(dir, NULL);
    CHECK(names_in(dir, "").count == 2); /* one is still open for writing */
    CHECK_OK(replacement_end(&alive, OK));
    CHECK(holds(path_in(dir, "h"), "") && names_in(dir, "").count == 2);
}

static void the_umask_is_honoured_and_long_names_fit(void) {
    const char *dir = harness_directory();
    char name[256];
    struct stat info;
    memset(name, 'n', 255);
    name[255] = '\0';
    mode_t before = umask(077);
    CHECK_OK(replace(path_in(dir, name), "long"));
    umask(before);
    CHECK(stat(path_in(dir, name), &info) == 0 && (info.st_mode & 0777) == 0600);
    CHECK(names_in(dir, "").count == 1);
}

static int beyond_a_limit(const char *dir) {
    char text[2000] = {0};
    Replacement *new;
    struct rlimit limit = {1000, 1000};
    if (failed(replace(path_in(dir, "f"), "before")) || setrlimit(RLIMIT_FSIZE, &limit) != 0)
        return 1;
    if (failed(replacement_begin(path_in(dir, "f"), &new))) return 2;
    Status status = replacement_end(&new, replacement_write(new, text, sizeof text));
    return status.code == STATUS_FAILURE &&
                   strstr(status_message(), "/f: cannot write: File too large; free some space")
               ? 0
               : 3;
}

static void a_limit_is_an_error_and_the_old_file_stays(void) {
    const char *dir = harness_directory();
    int status = 0;
    pid_t child = fork();
    if (child == 0) _exit(beyond_a_limit(dir));
    waitpid(child, &status, 0);
    CHECK(status == 0);
    CHECK(holds(path_in(dir, "f"), "before") && names_in(dir, "").count == 1);
}

/* The second of two cannot get its name, because a directory has it. */
static void files_that_belong_together_change_together(void) {
    const char *dir = harness_directory();
    Replacement *pair[3] = {0};
    REQUIRE_OK(replace(path_in(dir, "a"), "old a"));
    CHECK(mkdir(path_in(dir, "c"), 0777) == 0);
    const char *const names[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++) {
        REQUIRE_OK(replacement_begin(path_in(dir, names[i]), &pair[i]));
        REQUIRE_OK(replacement_write(pair[i], "new", 3));
    }
    CHECK_ERROR(replacement_commit_all(pair, 3), STATUS_FAILURE,
                "/c: cannot write: Is a directory");
    CHECK(holds(path_in(dir, "a"), "old a"));
    for (int i = 0; i < 3; i++) replacement_destroy(&pair[i]);
    CHECK(names_in(dir, "").count == 2);
    for (int i = 0; i < 2; i++) REQUIRE_OK(replacement_begin(path_in(dir, names[i]), &pair[i]));
    CHECK_OK(replacement_commit_all(pair, 2));
    for (int i = 0; i < 2; i++) replacement_destroy(&pair[i]);
    CHECK(holds(path_in(dir, "a"), "") && holds(path_in(dir, "b"), "") &&
          names_in(dir, "").count == 3);
}

static void a_stream_goes_to_its_end(void) {
    const char *dir = harness_directory();
    Replacement *new;
    char *text = calloc(1, 200001);
    REQUIRE_OK(replacement_begin(path_in(dir, "f"), &new));
    FILE *stream = file_stream(dup(replacement_fd(new)), "w");
    for (int i = 0; i < 200000; i++) fputc(text[i] = (char)('a' + i % 26), stream);
    CHECK(fclose(stream) == 0);
    CHECK_OK(replacement_end(&new, OK));
    char *back;
    REQUIRE_OK(file_read_all(path_in(dir, "f"), 1 << 20, &back, NULL));
    CHECK(strcmp(back, text) == 0);
    free(back);
    free(text);
}

/* ---- messages -------------------------------------------------------------------------------- */

static void foreign_text_is_shown_not_done(void) {
    char out[128], room[8];
    CHECK(strcmp(escape_text("a\x1b[31mb\nc\t\x7f", out, sizeof out), "a\\x1B[31mb\\nc\\t\\x7F") ==
          0);
    CHECK(strcmp(escape_text("naïve \xe2\x80\xae \xc2\x9b \xff", out, sizeof out),
                 "naïve \\xE2\\x80\\xAE \\xC2\\x9B \\xFF") == 0);
    CHECK(strcmp(escape_text(escape_text("\x1b", out, sizeof out), room, sizeof room), "\\x1B") ==
          0);
    CHECK(strcmp(escape_text("aaaaa\xc3\xaf\xc3\xaf", room, sizeof room), "aaaaa\xc3\xaf") == 0);
    CHECK_ERROR(ERROR(STATUS_DATA, "%s: bad", "evil\n\x1b]0;name\x07"), STATUS_DATA,
                "evil\\n\\x1B]0;name\\x07: bad");
}

static void a_failure_put_aside_comes_back(void) {
    StatusRecord first, none;
    status_keep(ERROR(STATUS_DATA, "the cause"), &first);
    status_keep(OK, &none);
    CHECK_ERROR(ERROR(STATUS_FAILURE, "another"), STATUS_FAILURE, "another");
    CHECK_ERROR(status_prefixed(status_restore(&first), "rank %d", 3), STATUS_DATA,
                "rank 3: the cause");
    CHECK(!failed(status_restore(&none)));
    Status shown =
        status_error_excerpt(STATUS_CONFIG, "f", 1, "  3 | a\x1b[1m\n    | ^", "%s", "x\ny");
    CHECK_ERROR(shown, STATUS_CONFIG, "x\\ny\n  3 | a?[1m\n    | ^");
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(what_is_not_there_is_no_error),
        TEST(what_is_no_file_is_not_waited_for),
        TEST(a_directory_that_appears_is_listed_or_empty),
        TEST(what_cannot_be_read_is_a_failure),
        TEST(a_file_is_read_to_its_end_whatever_its_size_says),
        TEST(a_link_is_not_appended_to),
        TEST(nobody_elses_file_is_touched),
        TEST(what_a_killed_writer_left_is_removed),
        TEST(the_umask_is_honoured_and_long_names_fit),
        TEST(a_limit_is_an_error_and_the_old_file_stays),
        TEST(files_that_belong_together_change_together),
        TEST(a_stream_goes_to_its_end),
        TEST(foreign_text_is_shown_not_done),
        TEST(a_failure_put_aside_comes_back),
    };
    return harness_run(argc, argv, "files", tests, COUNT(tests));
}
