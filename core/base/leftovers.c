#include "core/base/leftovers.h"

#include "core/base/file.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { YOUNG_SECONDS = 5 }; /* the process that created it may just be starting */

typedef struct Leftovers {
    const char *directory;
    const char *const *beginnings;
} Leftovers;

static bool is_named_so(const Leftovers *l, const char *name) {
    for (const char *const *beginning = l->beginnings; *beginning != NULL; beginning++) {
        if (strncmp(name, *beginning, strlen(*beginning)) == 0) return true;
    }
    return false;
}

static bool is_old_and_ours(int fd) {
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_uid != geteuid()) return false;
    return time(NULL) - info.st_mtime > YOUNG_SECONDS;
}

/* The kernel grants a write lease if no other process has the file open or mapped, in any
 * container. It announces later opens by SIGIO, which would end the program; SIGURG does not. */
static bool is_unused(int fd) {
    return fcntl(fd, F_SETSIG, SIGURG) == 0 && fcntl(fd, F_SETLEASE, F_WRLCK) == 0;
}

static bool leftover_look(void *context, const char *name) {
    const Leftovers *l = context;
    char path[PATH_MAX];
    if (!is_named_so(l, name)) return true;
    snprintf(path, sizeof path, "%s/%s", l->directory, name);
    int fd = file_open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd >= 0 && is_old_and_ours(fd) && is_unused(fd)) file_remove(path);
    file_close(fd);
    return true;
}

void leftovers_remove(const char *directory, const char *const *beginnings) {
    Leftovers leftovers = {directory, beginnings};
    Status ignored = file_list(directory, leftover_look, &leftovers); /* best effort */
    (void)ignored;
}
