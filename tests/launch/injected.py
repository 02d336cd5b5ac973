"""Injects faults between a program and libc: the Nth call on a file, or each call from the Nth on,
fails with an errno."""

import os
import shutil
import subprocess

from e2e import WORK, Skip

# FAULTS is a list of CALL:PART:WHEN:ERRNO, separated by spaces. CALL: open, read, write, fsync,
# rename, close, flock, lock (by fcntl), truncate, list, mkstemp, fork; PART: of the path, of a
# descriptor's too, for fork of the program's name;
# WHEN: 3 (the third such call), 3+ (from the third on), 1/2 (the first of each two); ERRNO: a
# number. A close that fails has closed. mkdir with ENOENT removes the parent, if it is empty.
PRELOADED = r"""
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEXT(type, name) ((type)dlsym(RTLD_NEXT, name))
enum { MOST = 16 };
static int counts[MOST];

static int strikes(const char *call, const char *path) {
    const char *at = getenv("FAULTS");
    for (int i = 0; at != NULL && *at != '\0' && i < MOST; i++) {
        char name[32], part[256];
        int when, every = 0, error;
        char form;
        int error_read =
            sscanf(at, "%31[^:]:%255[^:]:%d%c%d:%d", name, part, &when, &form, &every, &error) ==
                6 ||
            (form = '+', sscanf(at, "%31[^:]:%255[^:]:%d+:%d", name, part, &when, &error) == 4) ||
            (form = '=', sscanf(at, "%31[^:]:%255[^:]:%d:%d", name, part, &when, &error) == 4);
        at += strcspn(at, " ");
        at += strspn(at, " ");
        if (!error_read || strcmp(name, call) != 0 || strstr(path, part) == NULL) continue;
        int count = __atomic_add_fetch(&counts[i], 1, __ATOMIC_RELAXED);
        if (form == '=' ? count == when : form == '+' ? count >= when : count % every == when)
            return error;
    }
    return 0;
}
static int fails(const char *call, const char *path) {
    int error = strikes(call, path);
    if (error != 0) errno = error;
    return error != 0;
}
static int fails_at(const char *call, int fd) {
    char link[64], path[4096] = "";
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (readlink(link, path, sizeof path - 1) <= 0) return 0;
    errno = before;
    return fails(call, path);
}
#define OPEN(name)                                                                                 \
    int name(const char *path, int flags, ...) {                                                   \
        va_list list;                                                                              \
        va_start(list, flags);                                                                     \
        mode_t mode = va_arg(list, mode_t);                                                        \
        va_end(list);                                                                              \
        return fails("open", path)                                                                 \
                   ? -1                                                                            \
                   : NEXT(int (*)(const char *, int, mode_t), #name)(path, flags, mode);           \
    }
OPEN(open)
OPEN(open64)
#define READ(name)                                                                                 \
    ssize_t name(int fd, void *to, size_t n, off_t at) {                                           \
        return fails_at("read", fd)                                                                \
                   ? -1                                                                            \
                   : NEXT(ssize_t(*)(int, void *, size_t, off_t), #name)(fd, to, n, at);           \
    }
READ(pread)
READ(pread64)
ssize_t read(int fd, void *to, size_t n) {
    return fails_at("read", fd) ? -1 : NEXT(ssize_t(*)(int, void *, size_t), "read")(fd, to, n);
}
ssize_t write(int fd, const void *from, size_t n) {
    return fails_at("write", fd)
               ? -1
               : NEXT(ssize_t(*)(int, const void *, size_t), "write")(fd, from, n);
}
#define PWRITE(name)                                                                               \
    ssize_t name(int fd, const void *from, size_t n, off_t at) {                                   \
        return fails_at("write", fd)                                                               \
                   ? -1                                                                            \
                   : NEXT(ssize_t(*)(int, const void *, size_t, off_t), #name)(fd, from, n, at);   \
    }
PWRITE(pwrite)
PWRITE(pwrite64)
int fsync(int fd) { return fails_at("fsync", fd) ? -1 : NEXT(int (*)(int), "fsync")(fd); }
#define FCNTL(name)                                                                                \
    int name(int fd, int command, ...) {                                                           \
        va_list list;                                                                              \
        va_start(list, command);                                                                   \
        void *with = va_arg(list, void *);                                                         \
        va_end(list);                                                                              \
        int fault = command == F_OFD_SETLK && fails_at("lock", fd);                                \
        return fault ? -1 : NEXT(int (*)(int, int, void *), #name)(fd, command, with);             \
    }
FCNTL(fcntl)
FCNTL(fcntl64)
int flock(int fd, int how) {
    return fails_at("flock", fd) ? -1 : NEXT(int (*)(int, int), "flock")(fd, how);
}
int ftruncate(int fd, off_t n) {
    return fails_at("truncate", fd) ? -1 : NEXT(int (*)(int, off_t), "ftruncate")(fd, n);
}
int ftruncate64(int fd, off_t n) {
    return fails_at("truncate", fd) ? -1 : NEXT(int (*)(int, off_t), "ftruncate64")(fd, n);
}
int rename(const char *from, const char *to) {
    return fails("rename", to) ? -1 : NEXT(int (*)(const char *, const char *), "rename")(from, to);
}
int link(const char *from, const char *to) {
    return fails("link", to) ? -1 : NEXT(int (*)(const char *, const char *), "link")(from, to);
}
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
    return fails("rename", to) ? -1
                               : NEXT(int (*)(int, const char *, int, const char *, unsigned),
                                      "renameat2")(a, from, b, to, flags);
}
int close(int fd) {
    char link[64], path[4096] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int named = readlink(link, path, sizeof path - 1) > 0;
    int result = NEXT(int (*)(int), "close")(fd);
    return result == 0 && named && fails("close", path) ? -1 : result;
}
int mkstemp(char *path) {
    return fails("mkstemp", path) ? -1 : NEXT(int (*)(char *), "mkstemp")(path);
}
pid_t fork(void) {
    return fails("fork", program_invocation_short_name) ? -1 : NEXT(pid_t (*)(void), "fork")();
}
int mkdir(const char *path, mode_t mode) {
    if (!fails("mkdir", path)) return NEXT(int (*)(const char *, mode_t), "mkdir")(path, mode);
    char parent[4096] = "";
    int error = errno;
    strncpy(parent, path, sizeof parent - 1);
    if (error == ENOENT) rmdir(dirname(parent));
    errno = error;
    return -1;
}
#define READDIR(type, name)                                                                        \
    type *name(DIR *directory) {                                                                   \
        return fails_at("list", dirfd(directory)) ? NULL                                           \
                                                  : NEXT(type * (*)(DIR *), #name)(directory);     \
    }
READDIR(struct dirent, readdir)
READDIR(struct dirent64, readdir64)
"""


def injected(*faults):
    """The environment in which a program meets these faults."""
    path = os.path.join(WORK, "injected.so")
    if not os.path.exists(path):
        if shutil.which("cc") is None:
            raise Skip("no C compiler")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", path, "-x", "c", "-"],
                       input=PRELOADED, text=True, check=True)
    return {"LD_PRELOAD": path, "FAULTS": " ".join(faults)}
