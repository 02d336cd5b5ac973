/* Idle threads release the cores soon. The test measures CPU time, which other processes do not
 * affect. */
#include "launch/base/thread_wait.h"
#include "tests/harness.h"

#include <omp.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static double seconds_of(struct timeval t) { return (double)t.tv_sec + 1e-6 * (double)t.tv_usec; }

/* CPU time of all threads of this process. */
static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

static int threads_count(void) {
    int count = 0;
#pragma omp parallel reduction(+ : count)
    count++;
    return count;
}

/* OpenMP's default spins through all of these pauses, 400 ms. */
static void idle_threads_sleep(void) {
    enum { PAUSES = 200, PAUSE_MICROSECONDS = 2000 };
    omp_set_num_threads(2);
    CHECK(threads_count() == 2);
    double before = cpu_seconds();
    for (int i = 0; i < PAUSES; i++) {
        CHECK(threads_count() == 2);
        usleep(PAUSE_MICROSECONDS);
    }
    double used = cpu_seconds() - before;
    printf("  %.3f s of CPU time in %.1f s of pauses\n", used, 1e-6 * PAUSES * PAUSE_MICROSECONDS);
    CHECK(used < 0.15);
}

int main(int argc, char **argv) {
    thread_wait_choose(argv);
    const Test tests[] = {TEST(idle_threads_sleep)};
    return harness_run(argc, argv, "thread_wait", tests, COUNT(tests));
}
