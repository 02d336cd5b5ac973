/* The cache returns stored values; the program neither waits for nor writes to anything that is not
 * a cache, and no failure here ends it. */
#include "core/base/file.h"
#include "core/perf/cache_file.h"
#include "tests/harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char path[2000]; /* of the only file */

static bool text_parse(const char *value, void *out) {
    snprintf(out, 16, "%s", value);
    return true;
}

/* Whether a later reader finds a value that was added to the file. */
static bool keeps(const char *key) {
    char found[16] = "";
    int cache = cache_lock("kind", "device", "1");
    cache_add(cache, key, "value");
    cache_unlock(cache);
    cache = cache_lock("kind", "device", "1");
    bool finds = cache_find(cache, key, text_parse, found);
    cache_unlock(cache);
    return finds && strcmp(found, "value") == 0;
}

static void anew(void) {
    const char *folder = harness_directory();
    setenv("HOURGLASS_CACHE", folder, 1);
    snprintf(path, sizeof path, "%s/kind-device-1.txt", folder);
}

static void what_is_known_comes_back(void) {
    anew();
    CHECK(keeps("a") && keeps("b") && keeps("a"));
}

static void pipes_and_devices_are_not_waited_for(void) {
    alarm(20);
    anew();
    CHECK(mkfifo(path, 0666) == 0 && !keeps("a"));
    anew();
    CHECK(symlink("/dev/zero", path) == 0 && !keeps("a"));
    anew();
    CHECK(mkdir(path, 0777) == 0 && !keeps("a"));
    anew();
    CHECK(keeps("a") && truncate(path, (off_t)1 << 33) == 0 && !keeps("b"));
    alarm(0);
}

static void a_link_is_not_written_through(void) {
    char notes[4096], *text = NULL;
    anew();
    snprintf(notes, sizeof notes, "%s.notes", path);
    FILE *file = fopen(notes, "w");
    CHECK(file != NULL && fputs("notes", file) >= 0 && fclose(file) == 0);
    CHECK(symlink(notes, path) == 0 && !keeps("a"));
    CHECK_OK(file_read_all(notes, 100, &text, NULL));
    CHECK(text != NULL && strcmp(text, "notes") == 0);
    free(text);
}

static void a_limit_of_file_sizes_does_not_kill(void) {
    anew();
    pid_t child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){.rlim_cur = 4, .rlim_max = 4});
        _exit(keeps("a") ? 1 : 0);
    }
    int how = -1;
    CHECK(waitpid(child, &how, 0) == child && WIFEXITED(how) && WEXITSTATUS(how) == 0);
    CHECK(keeps("a")); /* after the truncated line */
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(what_is_known_comes_back),
        TEST(pipes_and_devices_are_not_waited_for),
        TEST(a_link_is_not_written_through),
        TEST(a_limit_of_file_sizes_does_not_kill),
    };
    return harness_run(argc, argv, "cache_file", tests, COUNT(tests));
}
