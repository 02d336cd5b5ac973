#include "core/base/input_file.h"
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *path_of(const char *name) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", harness_directory(), name);
    return path;
}

static void text_write(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    CHECK(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void what_is_no_file_is_refused_at_once(void) {
    InputFile file;
    const char *path = path_of("it");
    CHECK_ERROR(input_open(path, &file), STATUS_DATA, "it: no such file");
    CHECK(mkfifo(path, 0666) == 0); /* without a writer: opening it must not block */
    CHECK_ERROR(input_open(path, &file), STATUS_DATA, "it: not a regular file");
    CHECK(file.fd == -1);
    CHECK(unlink(path) == 0 && mkdir(path, 0777) == 0);
    CHECK_ERROR(input_open(path, &file), STATUS_DATA, "it: is a directory");
    CHECK_ERROR(input_open("/dev/zero", &file), STATUS_DATA, "/dev/zero: not a regular file");
}

static void a_file_that_shrinks_is_an_error(void) {
    InputFile file;
    char bytes[8];
    const char *path = path_of("it");
    text_write(path, "0123456789");
    REQUIRE_OK(input_open(path, &file));
    CHECK(file.bytes == 10);
    CHECK_OK(input_read(&file, bytes, 8, 2));
    CHECK(memcmp(bytes, "23456789", 8) == 0);
    CHECK(truncate(path, 4) == 0);
    CHECK_ERROR(input_read(&file, bytes, 8, 2), STATUS_DATA,
                "it: became shorter during reading: 4 of 10 bytes");
    CHECK_ERROR(input_read(&file, bytes, 1, 9), STATUS_DATA,
                "it: became shorter during reading: 4 of 10 bytes");
    input_close(&file);
    CHECK(file.fd == -1);
}

/* A process's memory is a regular file to the system; its start is unmapped. */
static void a_read_that_the_disk_fails_is_an_error(void) {
    InputFile file;
    char bytes[8];
    REQUIRE_OK(input_open("/proc/self/mem", &file));
    CHECK_ERROR(input_read(&file, bytes, sizeof bytes, 16), STATUS_FAILURE,
                "/proc/self/mem: cannot read it: Input");
    input_close(&file);
}

static void small_files_are_read_whole(void) {
    char *text;
    size_t bytes;
    const char *path = path_of("it");
    text_write(path, "0123456789");
    REQUIRE_OK(input_read_whole(path, 10, &text, &bytes));
    CHECK(bytes == 10 && strcmp(text, "0123456789") == 0);
    free(text);
    CHECK_ERROR(input_read_whole(path, 9, &text, &bytes), STATUS_DATA,
                "it: is larger than the limit of 9 bytes");
    CHECK(text == NULL && bytes == 0);
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(what_is_no_file_is_refused_at_once),
        TEST(a_file_that_shrinks_is_an_error),
        TEST(a_read_that_the_disk_fails_is_an_error),
        TEST(small_files_are_read_whole),
    };
    return harness_run(argc, argv, "input files", tests, COUNT(tests));
}
