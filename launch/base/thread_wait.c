#include "launch/base/thread_wait.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

/* As fast as OpenMP's default on an idle machine, and almost as light as sleeping on a busy one:
 * docs/results/threads.md. */
static const char SPINS[] = "500", BLOCK_MILLISECONDS[] = "0";

void thread_wait_choose(char **argv) {
    static const char *const choices[] = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"};
    char self[PATH_MAX];
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        if (getenv(choices[i]) != NULL) return;
    }
    ssize_t bytes = readlink("/proc/self/exe", self, sizeof self - 1);
    if (bytes <= 0) return;
    self[bytes] = '\0';
    if (setenv("GOMP_SPINCOUNT", SPINS, 1) == 0 &&
        setenv("KMP_BLOCKTIME", BLOCK_MILLISECONDS, 1) == 0) {
        execv(self, argv);
    }
}
