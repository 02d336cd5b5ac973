#include "core/perf/cache_file.h"

#include "core/base/clock.h"
#include "core/base/file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PATH_ROOM = 1024, LINE_ROOM = 1024, MOST_BYTES = 64 << 20, WAIT_SECONDS = 60 };

/* The cache folder; created if missing. The user creates its parent. */
static bool folder_path(char *path) {
    const char *own = getenv("HOURGLASS_CACHE"), *xdg = getenv("XDG_CACHE_HOME"),
               *home = getenv("HOME");
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

/* Limited wait: the process that holds the lock may be stopped. Without the cache, values are
 * measured again. */
static bool is_locked(int cache) {
    double end = clock_seconds() + WAIT_SECONDS;
    int error = file_lock(cache, false);
    while (error == EWOULDBLOCK && clock_seconds() < end) {
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        error = file_lock(cache, false);
    }
    return error != EWOULDBLOCK;
}

static bool is_cache(int file) {
    struct stat info;
    return fstat(file, &info) == 0 && S_ISREG(info.st_mode) && info.st_size <= MOST_BYTES;
}

/* -1 if the path is a link, a FIFO or a device, which is neither read nor written. */
static int file_locked(const char *path) {
    int cache = file_open(path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK, 0666);
    if (cache < 0 || (is_cache(cache) && is_locked(cache))) return cache;
    file_close(cache);
    return -1;
}

int cache_lock(const char *kind, const char *device, const char *version) {
    char path[PATH_ROOM], name[256], full[PATH_ROOM + 300];
    if (!folder_path(path)) return -1;
    snprintf(name, sizeof name, "%s-%s-%s", kind, device, version);
    for (char *c = name; *c != '\0'; c++) {
        if (!isalnum((unsigned char)*c) && *c != '-' && *c != '.') *c = '_';
    }
    snprintf(full, sizeof full, "%s/%s.txt", path, name);
    return file_locked(full);
}

void cache_unlock(int cache) { file_close(cache); }

static bool line_parse(char *line, const char *key, CacheParseFn parse, void *out) {
    static const char end[] = " end\n";
    size_t length = strlen(key), all = strlen(line);
    if (strncmp(line, key, length) != 0 || strncmp(line + length, " = ", 3) != 0) return false;
    if (all < length + 3 + strlen(end) || strcmp(line + all - strlen(end), end) != 0) return false;
    line[all - strlen(end)] = '\0';
    return parse(line + length + 3, out);
}

bool cache_find(int cache, const char *key, CacheParseFn parse, void *out) {
    int copy = cache < 0 ? -1 : dup(cache);
    FILE *file = copy < 0 || lseek(copy, 0, SEEK_SET) != 0 ? NULL : file_stream(copy, "r");
    if (file == NULL) return false;
    char line[LINE_ROOM];
    bool found = false;
    while (!found && fgets(line, sizeof line, file) != NULL)
        found = line_parse(line, key, parse, out);
    fclose(file);
    return found;
}

/* Whether the file ends in the middle of a line. */
static bool is_cut(int cache) {
    char last = '\n';
    off_t bytes = lseek(cache, 0, SEEK_END);
    return bytes > 0 && pread(cache, &last, 1, bytes - 1) == 1 && last != '\n';
}

void cache_add(int cache, const char *key, const char *value) {
    char line[LINE_ROOM];
    if (cache < 0) return;
    int length =
        snprintf(line, sizeof line, "%s%s = %s end\n", is_cut(cache) ? "\n" : "", key, value);
    if (length <= 0 || length >= (int)sizeof line) return;
    file_write_all(cache, line,
                   (size_t)length); /* if the disk is full, the next run measures again */
}
