#include "launch/base/at_load.h"

#include "core/cpu/openblas.h"
#include "launch/base/processor.h"

#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Address space for libraries that are initialized earlier. */
enum { OTHERS_BYTES = 32 << 20 };

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* The disposition of SIGHUP when the program was started. */
static struct sigaction hangup;

void at_load_restore(void) {
    sigset_t none;
    sigemptyset(&none);
    sigaction(SIGHUP, &hangup, NULL);
    signal(SIGCHLD, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The number of buffers that OpenBLAS maps at load: one per core, or OMP_NUM_THREADS if that is
 * less. */
static size_t buffers_at_load(char **environment) {
    static const char name[] = "OMP_NUM_THREADS=";
    cpu_set_t cores;
    long count = sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
    for (; *environment != NULL; environment++) {
        long wanted = strncmp(*environment, name, sizeof name - 1) == 0
                          ? atol(*environment + sizeof name - 1)
                          : 0;
        if (wanted > 0 && wanted < count) count = wanted;
    }
    return (size_t)count;
}

static bool can_map(size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return false;
    munmap(memory, bytes);
    return true;
}

/* Libraries are not initialized yet, so only system calls and stateless functions are allowed. */
static void end(int code, const char *path, const char *const parts[], size_t count) {
    const char *last = strrchr(path, '/'), *program = last == NULL ? path : last + 1;
    char line[1024];
    size_t used = 0;
    for (size_t i = 0; i <= count; i++) {
        const char *part = i == 0 ? program : parts[i - 1];
        size_t bytes = strlen(part);
        if (bytes > sizeof line - used) bytes = sizeof line - used;
        memcpy(line + used, part, bytes);
        used += bytes;
    }
    ssize_t ignored = write(STDERR_FILENO, line, used);
    (void)ignored;
    _exit(code);
}

static void end_without_room(const char *path) {
    static const char *const message[] = {
        ": error: the limit on address space (ulimit -v) is too small for OpenBLAS's buffers of "
        "128 MiB per core; raise it, or set OMP_NUM_THREADS=1\n"};
    end(71, path, message, COUNT(message));
}

static void end_without_instructions(const char *path, const char *missing) {
    const char *message[] = {": error: compiled for -march=", processor_march,
                             ", but this processor lacks ", missing,
                             "; build again with march=native on it, or with march=x86-64\n"};
    end(78, path, message, COUNT(message));
}

static void at_load(int argc, char **argv, char **environment) {
    char missing[256];
    const char *path = argc > 0 ? argv[0] : "hourglass";
    sigaction(SIGHUP, NULL, &hangup);
    if (processor_lacks_features(missing, sizeof missing)) end_without_instructions(path, missing);
    if (can_map(buffers_at_load(environment) * OPENBLAS_BUFFER_BYTES + OTHERS_BYTES)) return;
    end_without_room(path);
}

__attribute__((section(".preinit_array"), used)) static void (*const entry)(int, char **,
                                                                            char **) = at_load;
