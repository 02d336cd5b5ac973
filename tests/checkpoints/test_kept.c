/* The checkpoints that are found, kept, and moved aside. */
#include "checkpoints/file_layout.h"
#include "tests/checkpoints/sample.h"
#include "tests/harness.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static Arena arena;

static const char *path_of(const char *dir, int64_t step) {
    char name[CHECKPOINT_NAME_BYTES];
    checkpoint_name(step, name);
    return arena_printf(&arena, "%s/%s", dir, name);
}

static bool exists(const char *path) { return access(path, F_OK) == 0; }

/* An unreadable checkpoint may be good, so no older one is used instead. */
static void an_unreadable_newest_is_not_passed_over(void) {
    const char *dir = harness_directory(), *warnings = NULL;
    CheckpointFile *file = NULL;
    struct rlimit before, none;
    for (int64_t step = 1; step <= 2; step++) REQUIRE_OK(sample_write(dir, step, 9));
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    int spare = dup(0);
    none = (struct rlimit){
        (rlim_t)spare + 1,
        before.rlim_max}; /* enough descriptors to list the directory, which is closed again */
    close(spare);
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    int taken = dup(0);
    CHECK_ERROR(checkpoint_open_newest(dir, &arena, &file, &warnings), STATUS_FAILURE,
                "Too many open files");
    close(taken);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    CHECK(unlink(path_of(dir, 2)) == 0 && symlink("nowhere.h5", path_of(dir, 2)) == 0);
    CHECK_ERROR(
        checkpoint_open_newest(dir, &arena, &file, &warnings), STATUS_FAILURE,
        "is a link to a missing file; fix this, or name an older checkpoint to resume from");
    CHECK(file == NULL);
}

/* Whether DIR/best.h5 is a link to the checkpoint of `step`; -1: nothing is there. */
static bool links_to(const char *dir, int64_t step) {
    char target[64], name[CHECKPOINT_NAME_BYTES];
    ssize_t n = readlink(arena_printf(&arena, "%s/best.h5", dir), target, sizeof target);
    checkpoint_name(step, name);
    return step < 0 ? n < 0 : n == (ssize_t)strlen(name) && strncmp(target, name, (size_t)n) == 0;
}

static void a_link_names_the_best(void) {
    const char *dir = harness_directory(), *link = arena_printf(&arena, "%s/best.h5", dir),
               *begun = arena_printf(&arena, "%s/.best.h5.hourglass", dir);
    REQUIRE_OK(sample_keep(dir, 1, (CheckpointKeep){9, 1, false}));
    CHECK(symlink("step_00000007.h5", begun) == 0); /* of a killed writer */
    REQUIRE_OK(sample_keep(dir, 2, (CheckpointKeep){9, 2, false}));
    CHECK(links_to(dir, 2) && lstat(begun, &(struct stat){0}) != 0);
    REQUIRE_OK(sample_keep(dir, 3, (CheckpointKeep){9, -1, false}));
    CHECK(links_to(dir, -1));
    CHECK(symlink("mine.h5", link) == 0);
    REQUIRE_OK(sample_keep(dir, 4, (CheckpointKeep){9, 4, false}));
    char target[64];
    CHECK(readlink(link, target, sizeof target) == 7 && memcmp(target, "mine.h5", 7) == 0);
}

static void the_best_stays_beside_the_newest(void) {
    const char *dir = harness_directory();
    for (int64_t step = 1; step <= 6; step++) {
        REQUIRE_OK(sample_keep(dir, step, (CheckpointKeep){2, step < 5 ? 2 : 5, false}));
        CHECK(exists(path_of(dir, step)));
        CHECK(links_to(dir, step < 2 ? -1 : step < 5 ? 2 : 5));
        CHECK(step < 2 || exists(path_of(dir, 2)) == (step < 5));
    }
    CHECK(!exists(path_of(dir, 4)) && exists(path_of(dir, 5)) && exists(path_of(dir, 6)));
}

static void the_abandoned_are_moved_aside(void) {
    const char *dir = harness_directory();
    int64_t n = 0;
    for (int again = 0; again < 2; again++) {
        for (int64_t step = 3; step <= 5; step++) REQUIRE_OK(sample_write(dir, step, 9));
        REQUIRE_OK(checkpoints_set_aside(dir, 3, &n));
        CHECK(n == 2 && exists(path_of(dir, 3)) && !exists(path_of(dir, 4)) &&
              !exists(path_of(dir, 5)));
    }
    CHECK(exists(arena_printf(&arena, "%s/step_00000004.h5.aside-1", dir)));
    CHECK(exists(arena_printf(&arena, "%s/step_00000004.h5.aside-2", dir)));
    REQUIRE_OK(checkpoints_set_aside(arena_printf(&arena, "%s/nowhere", dir), 0, &n));
    CHECK(n == 0);
}

/* Whoever reads a run that trains lists checkpoints that the run removes before they are read. */
static void a_reader_keeps_up_with_a_run(void) {
    const char *dir = harness_directory(), *warnings = NULL;
    int64_t last = 0, missed = 0;
    REQUIRE_OK(sample_write(dir, 1, 1));
    pid_t run = fork();
    for (int64_t step = 2; run == 0; step++) {
        if (failed(sample_write(dir, step, 1))) _exit(1);
    }
    while (last < 200 && missed == 0 && waitpid(run, NULL, WNOHANG) == 0) {
        CheckpointFile *file = NULL;
        Status status = checkpoint_open_newest(dir, &arena, &file, &warnings);
        missed += failed(status) || file == NULL || warnings[0] != '\0';
        if (missed == 0) last = checkpoint_step(file);
        checkpoint_close(&file);
    }
    kill(run, SIGKILL);
    waitpid(run, NULL, 0);
    CHECK(last >= 200 && missed == 0);
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(an_unreadable_newest_is_not_passed_over),
        TEST(the_best_stays_beside_the_newest),
        TEST(a_link_names_the_best),
        TEST(the_abandoned_are_moved_aside),
        TEST(a_reader_keeps_up_with_a_run),
    };
    int code = harness_run(argc, argv, "kept", tests, COUNT(tests));
    arena_free(&arena);
    return code;
}
