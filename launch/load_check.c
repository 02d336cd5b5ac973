/* A limit on addresses, checked before any library is initialised: OpenBLAS maps buffers while it is, and tries for
 * ever where it cannot. Linked into each program; called by the loader through .preinit_array (System V ABI,
 * "Initialization and Termination Functions"). */
#include "core/cpu/openblas.h"

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* How many it maps at load: one a core, or as many as OMP_NUM_THREADS says where that is less. */
static size_t buffers_at_load(char **environment) {
    static const char name[] = "OMP_NUM_THREADS=";
    cpu_set_t cores;
    long count = sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
    for (; *environment != NULL; environment++) {
        long wanted = strncmp(*environment, name, sizeof name - 1) == 0 ? atol(*environment + sizeof name - 1) : 0;
        if (wanted > 0 && wanted < count) count = wanted;
    }
    return (size_t)count;
}

static bool can_map(size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return false;
    munmap(memory, bytes);
    return true;
}

/* No library is initialised yet: system calls alone, and what needs no state. */
static void check_at_load(int argc, char **argv, char **environment) {
    static const char message[] =
        "error: the limit on this process's addresses (ulimit -v) leaves OpenBLAS no room for its "
        "buffers of 128 MiB, one a core; raise it, or set OMP_NUM_THREADS=1\n";
    if (can_map(buffers_at_load(environment) * OPENBLAS_BUFFER_BYTES)) return;
    const char *program = argc > 0 ? argv[0] : "";
    const char *last = strrchr(program, '/');
    if (last != NULL) program = last + 1;
    ssize_t ignored = write(STDERR_FILENO, program, strlen(program));
    ignored = write(STDERR_FILENO, ": ", 2);
    ignored = write(STDERR_FILENO, message, sizeof message - 1);
    (void)ignored;
    _exit(71);
}

__attribute__((section(".preinit_array"), used)) static void (*const at_load)(int, char **, char **) = check_at_load;
