/* Leftovers: removes the files of killed processes, but no file that is in use or belongs to
 * others. */
#include "core/base/leftovers.h"
#include "tests/harness.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BYTES = 4096 };

static const char *const names[] = {"segment.", "scratch-", NULL};

static const char *directory;

static const char *path_of(const char *name) {
    static char paths[4][4096];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

/* Creates a file last changed `age` seconds ago. The caller closes the descriptor. */
static int file_make(const char *name, int age) {
    int fd = open(path_of(name), O_RDWR | O_CREAT, 0600);
    const struct timespec then[2] = {{.tv_sec = time(NULL) - age}, {.tv_sec = time(NULL) - age}};
    CHECK(fd >= 0 && ftruncate(fd, BYTES) == 0 && futimens(fd, then) == 0);
    return fd;
}

static bool is_there(const char *name) {
    struct stat info;
    return lstat(path_of(name), &info) == 0;
}

static void sweep(void) { leftovers_remove(directory, names); }

static void what_nobody_uses_goes(void) {
    close(file_make("segment.a", 60));
    close(file_make("scratch-b", 60));
    sweep();
    CHECK(!is_there("segment.a") && !is_there("scratch-b"));
}

static void other_names_and_young_files_stay(void) {
    close(file_make("a.segment.", 60));
    close(file_make("segmen", 60));
    close(file_make("segment.young", 0));
    sweep();
    CHECK(is_there("a.segment.") && is_there("segmen") && is_there("segment.young"));
}

static void what_is_no_file_stays(void) {
    close(file_make("target", 60));
    CHECK(symlink("target", path_of("segment.link")) == 0 &&
          mkdir(path_of("segment.folder"), 0700) == 0 &&
          mkfifo(path_of("segment.fifo"), 0600) == 0);
    sweep();
    CHECK(is_there("target") && is_there("segment.link") && is_there("segment.folder") &&
          is_there("segment.fifo"));
}

static void an_open_file_stays(void) {
    int fd = file_make("segment.open", 60);
    sweep();
    CHECK(is_there("segment.open"));
    close(fd);
    sweep();
    CHECK(!is_there("segment.open"));
}

/* Like a rank's shared memory segment: the descriptor is closed, and another process maps the
 * memory. */
static void a_mapped_file_stays(void) {
    int fd = file_make("segment.mapped", 60);
    void *memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(memory != MAP_FAILED);
    close(fd);
    pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    munmap(memory, BYTES);
    sweep();
    CHECK(is_there("segment.mapped"));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    sweep();
    CHECK(!is_there("segment.mapped"));
}

static void a_folder_that_is_not_there_is_nothing(void) {
    leftovers_remove(path_of("none"), names);
    CHECK(!is_there("none"));
}

int main(int argc, char **argv) {
    directory = harness_directory();
    const Test tests[] = {
        TEST(what_nobody_uses_goes), TEST(other_names_and_young_files_stay),
        TEST(what_is_no_file_stays), TEST(an_open_file_stays),
        TEST(a_mapped_file_stays),   TEST(a_folder_that_is_not_there_is_nothing),
    };
    return harness_run(argc, argv, "leftovers", tests, COUNT(tests));
}
