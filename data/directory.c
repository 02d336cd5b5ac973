#include "data/directory.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A full or read-only disk is the fault of the machine, not of the path. */
static Status cannot_make(const char *path, int error) {
    static const int of_the_path[] = {EACCES, EPERM, ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG, EINVAL};
    for (size_t i = 0; i < sizeof of_the_path / sizeof *of_the_path; i++) {
        if (error != of_the_path[i]) continue;
        return ERROR(STATUS_USAGE, "%s: cannot make this directory: %s", path, strerror(error));
    }
    return ERROR(STATUS_FAILURE, "%s: cannot make this directory: %s", path, strerror(error));
}

/* Creates what is missing. Returns 0 or errno, with the `part` that could not be created. */
static int parts_make(const char *path, char part[PATH_MAX], size_t *made) {
    struct stat info;
    for (size_t end = 1; end <= strlen(path); end++) {
        if (path[end] != '/' && path[end] != '\0') continue;
        snprintf(part, PATH_MAX, "%.*s", (int)end, path);
        if (mkdir(part, 0777) == 0) {
            if (*made == 0 || end < *made) *made = end;
            continue;
        }
        int error = errno; /* errno of mkdir; stat overwrites it */
        if (error != EEXIST && stat(part, &info) != 0) return error;
    }
    return 0;
}

Status directory_create(const char *path, size_t *made) {
    char part[PATH_MAX];
    struct stat info;
    *made = 0; /* length of the topmost directory in `path` that was created; 0: none */
    if (strlen(path) >= sizeof part) return ERROR(STATUS_USAGE, "%s: the path is too long", path);
    int error = parts_make(path, part, made);
    if (error == ENOENT) /* another process removed an empty parent meanwhile */
        error = parts_make(path, part, made);
    if (error != 0) directory_undo(path, *made);
    if (error != 0) return cannot_make(part, error);
    if (stat(path, &info) != 0)
        return ERROR(STATUS_USAGE, "%s: cannot inspect the directory: %s", path, strerror(errno));
    if (S_ISDIR(info.st_mode)) return OK;
    return ERROR(STATUS_USAGE, "%s: not a directory; name another output directory", path);
}

void directory_undo(const char *path, size_t made) {
    char part[PATH_MAX];
    if (made == 0 || strlen(path) >= sizeof part) return;
    for (size_t end = strlen(path); end >= made; end--) {
        if (path[end] != '/' && path[end] != '\0') continue;
        snprintf(part, sizeof part, "%.*s", (int)end, path);
        rmdir(part); /* fails if the directory is not empty, as intended */
    }
}
