#include "launch/sweep/text_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

static Status cannot_write(const char *path, int error) {
    return ERROR(STATUS_FAILURE, "%s: cannot be written: %s", path, strerror(error));
}

/* 0 or errno. */
static int write_all(int fd, const char *text, size_t bytes) {
    while (bytes > 0) {
        ssize_t wrote = write(fd, text, bytes);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0) return errno;
        text += wrote;
        bytes -= (size_t)wrote;
    }
    return 0;
}

static void directory_sync(const char *path) {
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    snprintf(directory, sizeof directory, "%.*s", slash == NULL ? 1 : (int)(slash - path), slash == NULL ? "." : path);
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd); /* where it cannot be synced, the file is still whole */
    close(fd);
}

Status text_file_replace(const char *path, const char *text) {
    char aside[PATH_MAX];
    if (snprintf(aside, sizeof aside, "%s.new", path) >= (int)sizeof aside) return cannot_write(path, ENAMETOOLONG);
    int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return cannot_write(path, errno);
    int error = write_all(fd, text, strlen(text));
    if (error == 0 && fsync(fd) != 0) error = errno;
    if (close(fd) != 0 && error == 0) error = errno;
    if (error == 0 && rename(aside, path) != 0) error = errno;
    if (error != 0) {
        unlink(aside);
        return cannot_write(path, error);
    }
    directory_sync(path);
    return OK;
}

Status text_file_append(const char *path, const char *line) {
    char text[1024];
    int bytes = snprintf(text, sizeof text, "%s\n", line);
    if (bytes >= (int)sizeof text) return cannot_write(path, EMSGSIZE);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0) return cannot_write(path, errno);
    int error = write_all(fd, text, (size_t)bytes);
    if (close(fd) != 0 && error == 0) error = errno;
    return error == 0 ? OK : cannot_write(path, error);
}

void text_file_tail(const char *path, char *text, size_t room) {
    text[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    off_t end = lseek(fd, 0, SEEK_END), start = end < (off_t)room ? 0 : end - (off_t)room + 1;
    ssize_t bytes = end < 0 ? 0 : pread(fd, text, room - 1, start);
    close(fd);
    text[bytes > 0 ? bytes : 0] = '\0';
    if (start == 0) return;
    const char *first = strchr(text, '\n');
    if (first != NULL) memmove(text, first + 1, strlen(first + 1) + 1);
}

void shell_word(const char *word, FILE *file) {
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:=,@%+-";
    if (*word != '\0' && word[strspn(word, safe)] == '\0') {
        fputs(word, file);
        return;
    }
    fputc('\'', file);
    for (; *word != '\0'; word++) fputs(*word == '\'' ? "'\\''" : (char[]){*word, '\0'}, file);
    fputc('\'', file);
}
