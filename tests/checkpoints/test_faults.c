/* Saving under faults, a campaign: killed writers, full disks, limits. Each fault happens in a
 * child process. */
#include "core/base/clock.h"
#include "tests/checkpoints/sample.h"
#include "tests/harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static Arena arena;

enum { CHILD_OK = 0, CHILD_WRONG = 1, CHILD_CANNOT = 77 };

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("\n    line %d: not so: %s (%s)\n", __LINE__, #condition, status_message());    \
            return CHILD_WRONG;                                                                    \
        }                                                                                          \
    } while (0)

/* Runs a function in a child process; returns its result, or minus the signal that ended it. */
static int in_child(int (*function)(const char *dir), const char *dir) {
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        int code = function(dir);
        fflush(NULL);
        _exit(code);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int64_t newest_step(const char *dir) {
    CheckpointFile *file = NULL;
    const char *warnings = "";
    int64_t step = -1;
    if (!CHECK_OK(checkpoint_open_newest(dir, &arena, &file, &warnings)) || file == NULL) return -1;
    CHECK(warnings[0] == '\0');
    if (CHECK_OK(sample_check(file))) step = checkpoint_step(file);
    checkpoint_close(&file);
    return step;
}

typedef Status SaveFn(const char *dir, int64_t step, int keep);

/* Kills until `enough` of them interrupted a save, and saving continued in between: in a memory
 * file system few do. */
static void kill_often(SaveFn *save) {
    const int enough = 20, most = 4000, saves = 10;
    const char *dir = harness_directory();
    _Atomic int64_t *durable =
        mmap(NULL, sizeof *durable, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    double start = clock_seconds();
    REQUIRE_OK(save(dir, 1, 2));
    /* In microseconds: the time of three saves on this machine. */
    int window = (int)(3e6 * (clock_seconds() - start)) + 1000;
    atomic_store(durable, 1);
    srand(7);
    int cut_off = 0;
    for (int i = 0; i < most && (cut_off < enough || atomic_load(durable) <= saves); i++) {
        pid_t child = fork();
        if (child == 0) {
            for (int64_t step = atomic_load(durable) + 1; !failed(save(dir, step, 2)); step++) {
                atomic_store(durable, step);
            }
            _exit(1);
        }
        usleep(300 + (unsigned)(rand() % window));
        kill(child, SIGKILL);
        int status = 0;
        waitpid(child, &status, 0);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        cut_off += files_count(dir, ".hourglass") > 0;
        int64_t step = newest_step(dir), wanted = atomic_load(durable);
        CHECK(step == wanted || step == wanted + 1);
        atomic_store(durable, step);
    }
    CHECK(cut_off >= enough);
    CHECK(atomic_load(durable) > saves);
    REQUIRE_OK(save(dir, atomic_load(durable) + 1, 2));
    CHECK(files_count(dir, ".hourglass") == 0);
    CHECK(files_count(dir, "step_") == 2);
    munmap(durable, sizeof *durable);
}

static void killed_at_any_time_nothing_is_lost(void) { kill_often(sample_write); }
static void killed_between_shards_nothing_is_lost(void) { kill_often(sample_write_shards); }

/* The limit comes between a snapshot and its write, and before a snapshot. */
static int save_beyond_limit(const char *dir) {
    Sample sample;
    CheckpointImage *image = NULL;
    sample_fill(&sample, 2);
    EXPECT(!failed(sample_write(dir, 1, 2)));
    EXPECT(!failed(checkpoint_image_create(1, &image)));
    EXPECT(!failed(checkpoint_snapshot(image, &sample.contents)));
    struct rlimit limit = {9000, 9000};
    EXPECT(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    Status status = checkpoint_write(image, dir, 2, (CheckpointKeep){2, -1, false});
    EXPECT(failed(status) &&
           strstr(status_message(), "step_00000002.h5: cannot be written") != NULL);
    EXPECT(strstr(status_message(),
                  "File too large; free some space: checkpoint.keep + 1 = 3 of them must fit") !=
           NULL);
    status = checkpoint_snapshot(image, &sample.contents);
    EXPECT(status.code == STATUS_FAILURE && strstr(status_message(), "ulimit -f") != NULL);
    checkpoint_image_destroy(&image);
    sigset_t pending;
    EXPECT(sigpending(&pending) == 0 && !sigismember(&pending, SIGXFSZ));
    return CHILD_OK;
}

static void a_size_limit_is_an_error_not_a_death(void) {
    const char *dir = harness_directory();
    CHECK(in_child(save_beyond_limit, dir) == CHILD_OK);
    CHECK(newest_step(dir) == 1);
    CHECK(files_count(dir, ".hourglass") == 0);
}

/* A tmpfs with space for one and a half checkpoints, in a separate mount namespace. */
static int save_on_full_disk(const char *dir) {
    if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return CHILD_CANNOT;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) return CHILD_CANNOT;
    if (mount("tmpfs", dir, "tmpfs", 0, "size=36864") != 0) return CHILD_CANNOT;
    EXPECT(!failed(sample_write(dir, 1, 2)));
    for (int64_t step = 2; step < 5; step++) {
        Status status = sample_write(dir, step, 2);
        EXPECT(failed(status) && status.code == STATUS_FAILURE);
        EXPECT(strstr(status_message(), "No space left on device; free some space") != NULL);
        EXPECT(files_count(dir, ".hourglass") == 0 && files_count(dir, "step_") == 1);
        EXPECT(newest_step(dir) == 1);
    }
    EXPECT(mount("tmpfs", dir, "tmpfs", MS_REMOUNT, "size=1m") == 0);
    EXPECT(!failed(sample_write(dir, 5, 2)) &&
           newest_step(dir) == 5); /* after space was freed, saving continues */
    return CHILD_OK;
}

static void a_full_disk_keeps_the_old_one(void) {
    int code = in_child(save_on_full_disk, harness_directory());
    if (code == CHILD_CANNOT) SKIP("mounting a tmpfs is not allowed here");
    CHECK(code == CHILD_OK);
}

/* Root may write anywhere, so a missing directory stands for an unwritable one. */
static void a_missing_directory_is_named(void) {
    char dir[256];
    snprintf(dir, sizeof dir, "%s/none/checkpoints", harness_directory());
    CHECK_ERROR(sample_write(dir, 1, 2), STATUS_FAILURE, "/none/checkpoints/step_00000001.h5");
}

/* This system call of all tests here, as vm.memfd_noexec = 2 answers it. */
static bool refuses_memory_files;

int memfd_create(const char *name, unsigned flags) {
    if (!refuses_memory_files) return (int)syscall(SYS_memfd_create, name, flags);
    errno = EACCES;
    return -1;
}

static int temporary_files(const char *dir) {
    int n = 0;
    DIR *folder = opendir(dir);
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        n += strncmp(entry->d_name, "hourglass-checkpoint-", 21) == 0;
    closedir(folder);
    return n;
}

static void a_temporary_file_stands_in_for_a_refused_memory_file(void) {
    const char *dir = harness_directory(), *folder = arena_printf(&arena, "%s/temporary", dir);
    const char *before = getenv("TMPDIR");
    if (before != NULL) before = arena_printf(&arena, "%s", before);
    CHECK(mkdir(folder, 0700) == 0 && setenv("TMPDIR", folder, 1) == 0);
    refuses_memory_files = true;
    CHECK_OK(sample_write(dir, 1, 2));
    CHECK_OK(sample_write_shards(dir, 2, 2));
    refuses_memory_files = false;
    CHECK(newest_step(dir) == 2 && temporary_files(folder) == 0);
    CHECK((before == NULL ? unsetenv("TMPDIR") : setenv("TMPDIR", before, 1)) == 0);
}

static int save_without_any_file(const char *dir) {
    struct rlimit none = {0, 0};
    EXPECT(sample_write(dir, 1, 2).code == STATUS_OK);
    EXPECT(setrlimit(RLIMIT_NOFILE, &none) == 0);
    EXPECT(failed(sample_write(dir, 2, 2)));
    EXPECT(strstr(status_message(),
                  "no file in memory (memfd_create, /proc/self/fd): Too many open "
                  "files; nor a temporary one in $TMPDIR, /dev/shm and /tmp: "
                  "Too many open files; set TMPDIR") != NULL);
    return CHILD_OK;
}

static void without_any_file_the_reasons_are_named(void) {
    CHECK(in_child(save_without_any_file, harness_directory()) == CHILD_OK);
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(killed_at_any_time_nothing_is_lost),
        TEST(killed_between_shards_nothing_is_lost),
        TEST(a_size_limit_is_an_error_not_a_death),
        TEST(a_full_disk_keeps_the_old_one),
        TEST(a_missing_directory_is_named),
        TEST(a_temporary_file_stands_in_for_a_refused_memory_file),
        TEST(without_any_file_the_reasons_are_named),
    };
    int code = harness_run(argc, argv, "faults", tests, COUNT(tests));
    arena_free(&arena);
    return code;
}
