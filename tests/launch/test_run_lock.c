#include "launch/run/run_lock.h"
#include "tests/harness.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void the_second_run_is_refused_by_name(void) {
    const char *dir = harness_directory();
    char holder[64];
    RunLock *first = NULL, *second = NULL;
    snprintf(holder, sizeof holder, "process %d on ", (int)getpid());
    REQUIRE_OK(run_lock_take(dir, &first));
    CHECK(run_lock_is_held(first));
    CHECK_ERROR(run_lock_take(dir, &second), STATUS_FAILURE, holder);
    CHECK(second == NULL && strstr(status_message(), dir) != NULL);
    run_lock_release(&first);
    REQUIRE_OK(run_lock_take(dir, &second));
    run_lock_release(&second);
}

/* A child that holds the lock, until it is killed. */
static pid_t other_run(const char *dir) {
    RunLock *lock = NULL;
    int ready[2];
    char byte = 0;
    CHECK(pipe(ready) == 0);
    pid_t child = fork();
    if (child == 0) {
        if (failed(run_lock_take(dir, &lock)) || write(ready[1], "x", 1) != 1) _exit(1);
        pause();
    }
    close(ready[1]);
    CHECK(read(ready[0], &byte, 1) == 1);
    close(ready[0]);
    return child;
}

static void a_dead_run_holds_nothing(void) {
    const char *dir = harness_directory();
    RunLock *lock = NULL;
    char holder[64];
    pid_t child = other_run(dir);
    snprintf(holder, sizeof holder, "process %d on ", (int)child);
    CHECK_ERROR(run_lock_take(dir, &lock), STATUS_FAILURE, holder);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    REQUIRE_OK(run_lock_take(dir, &lock));
    run_lock_release(&lock);
}

/* The content that a killed run leaves in the file; readers must test the lock. */
static bool holder_is_stale(const char *dir) {
    char path[4096];
    snprintf(path, sizeof path, "%s/run.lock", dir);
    FILE *file = fopen(path, "w");
    bool wrote = file != NULL && fputs("process 1 on nowhere\n", file) >= 0;
    return file != NULL && fclose(file) == 0 && wrote;
}

static void who_only_looks_does_not_keep_a_run_from_starting(void) {
    const char *dir = harness_directory();
    int refused = 0, seen = 0;
    CHECK(holder_is_stale(dir));
    pid_t child = fork();
    if (child == 0) {
        for (;;) run_lock_is_taken(dir);
    }
    for (int i = 0; i < 1000; i++) {
        RunLock *lock = NULL;
        CHECK(holder_is_stale(dir));
        CHECK(!run_lock_is_taken(dir));
        refused += failed(run_lock_take(dir, &lock));
        seen += run_lock_is_taken(dir);
        run_lock_release(&lock);
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    CHECK(refused == 0 && seen == 1000);
}

static const char *lock_path(const char *dir) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/run.lock", dir);
    return path;
}

static void a_lock_that_is_removed_is_made_again(void) {
    const char *dir = harness_directory();
    RunLock *lock = NULL, *second = NULL;
    bool was_lost = true;
    REQUIRE_OK(run_lock_take(dir, &lock));
    CHECK_OK(run_lock_check(dir, lock, &was_lost));
    CHECK(!was_lost && unlink(lock_path(dir)) == 0);
    CHECK_OK(run_lock_check(dir, lock, &was_lost));
    CHECK(was_lost && run_lock_is_held(lock) && run_lock_is_taken(dir));
    CHECK_ERROR(run_lock_take(dir, &second), STATUS_FAILURE, "another run is using");
    CHECK_OK(run_lock_check(dir, lock, &was_lost));
    CHECK(!was_lost && unlink(lock_path(dir)) == 0 && mkdir(lock_path(dir), 0777) == 0);
    for (int again = 0; again < 2; again++) {
        CHECK_OK(run_lock_check(dir, lock, &was_lost)); /* it is no reason to end */
        CHECK(was_lost == (again == 0) && !run_lock_is_held(lock));
    }
    run_lock_release(&lock);
    CHECK(rmdir(lock_path(dir)) == 0);
}

static void who_has_taken_the_directory_is_named(void) {
    const char *dir = harness_directory();
    char holder[64];
    bool was_lost;
    RunLock *lock = NULL;
    REQUIRE_OK(run_lock_take(dir, &lock));
    CHECK(unlink(lock_path(dir)) == 0);
    pid_t child = other_run(dir);
    snprintf(holder, sizeof holder, "uses the directory now: process %d on ", (int)child);
    CHECK_ERROR(run_lock_check(dir, lock, &was_lost), STATUS_FAILURE, holder);
    run_lock_release(&lock);
    CHECK(run_lock_is_taken(dir));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void a_missing_directory_is_named(void) {
    RunLock *lock = NULL;
    char dir[256];
    snprintf(dir, sizeof dir, "%s/none", harness_directory());
    CHECK_ERROR(run_lock_take(dir, &lock), STATUS_FAILURE, "/none/run.lock: cannot be made");
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(the_second_run_is_refused_by_name),
        TEST(a_dead_run_holds_nothing),
        TEST(who_only_looks_does_not_keep_a_run_from_starting),
        TEST(a_lock_that_is_removed_is_made_again),
        TEST(who_has_taken_the_directory_is_named),
        TEST(a_missing_directory_is_named),
    };
    return harness_run(argc, argv, "run lock", tests, COUNT(tests));
}
