#include "data/directory.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A full or read-only disk is no fault of the path. */
static Status cannot_make(const char *path, int error) {
    static const int of_the_path[] = {EACCES, EPERM, ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG, EINVAL};
    for (size_t i = 0; i < sizeof of_the_path / sizeof *of_the_path; i++) {
        if (error != of_the_path[i]) continue;
        return ERROR(STATUS_USAGE, "%s: cannot make this directory: %s", path, strerror(error));
    }
    return ERROR(STATUS_FAILURE, "%s: cannot make this directory: %s", path, strerror(error));
}

Status directory_create(const char *path, size_t *made) {
    char part[PATH_MAX];
    struct stat info;
    size_t length = strlen(path);
    *made = 0; /* how many bytes of path name the topmost directory that was made; 0: none */
    if (length >= sizeof part) return ERROR(STATUS_USAGE, "%s: the path is too long", path);
    for (size_t end = 1; end <= length; end++) {
        if (path[end] != '/' && path[end] != '\0') continue;
        snprintf(part, sizeof part, "%.*s", (int)end, path);
        if (mkdir(part, 0777) == 0) {
            if (*made == 0) *made = end;
            continue;
        }
        int error = errno; /* of mkdir, whatever stat says below */
        if (error == EEXIST || stat(part, &info) == 0) continue;
        directory_undo(path, *made);
        return cannot_make(part, error);
    }
    if (stat(path, &info) != 0)
        return ERROR(STATUS_USAGE, "%s: cannot look into it: %s", path, strerror(errno));
    if (S_ISDIR(info.st_mode)) return OK;
    return ERROR(STATUS_USAGE, "%s: not a directory; name another one to write to", path);
}

void directory_undo(const char *path, size_t made) {
    char part[PATH_MAX];
    if (made == 0 || strlen(path) >= sizeof part) return;
    for (size_t end = strlen(path); end >= made; end--) {
        if (path[end] != '/' && path[end] != '\0') continue;
        snprintf(part, sizeof part, "%.*s", (int)end, path);
        rmdir(part); /* refuses where something is in it, as it should */
    }
}
