/* When a launcher counts as overdue. The clock is the test's. */
#include "launch/run/run_lock.h"
#include "launch/study/overdue.h"
#include "tests/harness.h"

#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static time_t later; /* seconds */

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (clock == CLOCK_MONOTONIC) now->tv_sec += later;
    return result;
}

typedef struct Case {
    Overdue overdue;
    StudyPoint point;
} Case;

/* Its launcher only waits. */
static void begin(Case *c, bool is_remote) {
    pid_t launcher = fork();
    if (launcher == 0) {
        pause();
        _exit(0);
    }
    *c = (Case){.point = {.name = "run", .directory = harness_directory()}};
    overdue_begin(&c->overdue, &c->point, launcher, "/none/train", is_remote);
}

static bool is_ended_after(Case *c, time_t seconds) {
    char line[512];
    bool ended = overdue_check(&c->overdue, &c->point, line, sizeof line);
    later += seconds;
    return overdue_check(&c->overdue, &c->point, line, sizeof line) || ended;
}

static void end(const Case *c) {
    kill(c->overdue.pid, SIGKILL);
    waitpid(c->overdue.pid, NULL, 0);
}

static void summary_write(const Case *c, const char *status) {
    char path[4096];
    snprintf(path, sizeof path, "%s/summary.json", c->point.directory);
    FILE *file = fopen(path, "w");
    CHECK(file != NULL && fprintf(file, "{\"status\": \"%s\"}\n", status) > 0 && fclose(file) == 0);
}

static void a_launcher_without_a_rank_is_ended(void) {
    Case c;
    begin(&c, false);
    later++;
    CHECK(!is_ended_after(&c, 58));
    CHECK(is_ended_after(&c, 2));
    end(&c);
}

static void ranks_of_other_hosts_have_time_to_start(void) {
    Case c;
    begin(&c, true);
    later++;
    CHECK(!is_ended_after(&c, 1700));
    CHECK(is_ended_after(&c, 100));
    end(&c);
}

/* Where the file system has no locks. */
static void ranks_of_other_hosts_run_as_long_as_the_summary_says(void) {
    Case c;
    begin(&c, true);
    summary_write(&c, "running");
    later++;
    CHECK(!is_ended_after(&c, 100000));
    summary_write(&c, "done");
    later++;
    CHECK(!is_ended_after(&c, 9));
    CHECK(is_ended_after(&c, 1));
    CHECK(overdue_code(&c.overdue, &c.point, 143) == 0);
    end(&c);
}

static void a_killed_run_of_other_hosts_has_ended(void) {
    Case c;
    RunLock *lock = NULL;
    begin(&c, true);
    REQUIRE_OK(run_lock_take(c.point.directory, &lock));
    summary_write(&c, "running");
    later++;
    CHECK(!is_ended_after(&c, 100000));
    run_lock_release(&lock);
    later++;
    CHECK(is_ended_after(&c, 10));
    end(&c);
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(a_launcher_without_a_rank_is_ended),
        TEST(ranks_of_other_hosts_have_time_to_start),
        TEST(ranks_of_other_hosts_run_as_long_as_the_summary_says),
        TEST(a_killed_run_of_other_hosts_has_ended),
    };
    return harness_run(argc, argv, "overdue", tests, COUNT(tests));
}
