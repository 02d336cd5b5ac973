#include "core/cuda/matmul_cache.h"

#include <ctype.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_ROOM = 1024, LINE_ROOM = 512 };

/* The folder, made where it is missing; its parent is the user's. */
static bool folder_path(char *path) {
    const char *own = getenv("HOURGLASS_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int length = -1;
    if (own != NULL && own[0] != '\0') {
        length = snprintf(path, PATH_ROOM, "%s", own);
    } else if (xdg != NULL && xdg[0] != '\0') {
        length = snprintf(path, PATH_ROOM, "%s/hourglass", xdg);
    } else if (home != NULL && home[0] != '\0') {
        length = snprintf(path, PATH_ROOM, "%s/.cache", home);
        if (length < PATH_ROOM) mkdir(path, 0755);
        length = snprintf(path, PATH_ROOM, "%s/.cache/hourglass", home);
    }
    if (length < 0 || length >= PATH_ROOM) return false;
    mkdir(path, 0755);
    return true;
}

int matmul_cache_lock(const char *gpu, size_t version) {
    char path[PATH_ROOM], name[128], full[PATH_ROOM + 256];
    if (!folder_path(path)) return -1;
    snprintf(name, sizeof name, "%s", gpu);
    for (char *c = name; *c != '\0'; c++) {
        if (!isalnum((unsigned char)*c)) *c = '_';
    }
    snprintf(full, sizeof full, "%s/matmul-%s-%zu.txt", path, name, version);
    int cache = open(full, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (cache >= 0) flock(cache, LOCK_EX);
    return cache;
}

static bool line_parse(const char *line, const char *key, MatmulChoice *out) {
    size_t length = strlen(key);
    if (strncmp(line, key, length) != 0 || strncmp(line + length, " = ", 3) != 0) return false;
    int fused;
    uint64_t *a = out->algo;
    int fields = sscanf(line + length + 3,
                        "%d %lf %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64
                        " %" SCNx64 " end",
                        &fused, &out->us, &a[0], &a[1], &a[2], &a[3], &a[4], &a[5], &a[6], &a[7]);
    out->fused = fused == 1;
    return fields == 10 && strstr(line, " end\n") != NULL; /* a line that was cut short does not count */
}

bool matmul_cache_find(int cache, const char *key, MatmulChoice *out) {
    int copy = cache < 0 ? -1 : dup(cache);
    FILE *file = copy < 0 ? NULL : fdopen(copy, "r");
    if (file == NULL) return false;
    rewind(file);
    char line[LINE_ROOM];
    bool found = false;
    while (!found && fgets(line, sizeof line, file) != NULL) found = line_parse(line, key, out);
    fclose(file);
    return found;
}

void matmul_cache_add(int cache, const char *key, const MatmulChoice *choice) {
    if (cache < 0) return;
    char line[LINE_ROOM];
    const uint64_t *a = choice->algo;
    int length = snprintf(line, sizeof line,
                          "%s = %d %.1f %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64
                          " %" PRIx64 " %" PRIx64 " end\n",
                          key, choice->fused, choice->us, a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]);
    if (length <= 0 || length >= (int)sizeof line) return;
    ssize_t written = write(cache, line, (size_t)length);
    (void)written; /* a disk that is full costs a timing next time, no more */
}

void matmul_cache_unlock(int cache) {
    if (cache >= 0) close(cache);
}
