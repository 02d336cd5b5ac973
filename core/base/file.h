/* Files: the only module that opens, reads, writes, syncs and locks them. Every call is retried
 * after EINTR, except close, which always releases the descriptor. Nothing here is collective.
 *
 * All functions distinguish three cases: a missing file (a result, never an error); something that
 * is not a regular file (STATUS_DATA; FIFOs and devices never block); and a file that the machine
 * cannot read or write (STATUS_FAILURE with the reason). A failed read never counts as the end of
 * the file. To replace a whole file, see core/base/replacement.h. */
#pragma once

#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>

/* ---- opening --------------------------------------------------------------------------------- */

/* open(2) with O_CLOEXEC and O_NOCTTY. Returns -1 and sets errno on failure. */
int file_open(const char *path, int flags, mode_t mode);

/* Opens a regular file for reading. OK with *fd = -1 if it does not exist. */
NODISCARD Status file_open_regular(const char *path, int *fd);

/* Opens a regular file for appending; creates it if missing (0666 less the umask). Refuses
 * links. */
NODISCARD Status file_open_append(const char *path, int *fd);

/* Opens a new file in `directory` for reading and writing, which is gone when it is closed. `path`
 * (PATH_MAX bytes): its former name, DIRECTORY/.NAME-XXXXXX, for messages. *fd = -1 on failure. */
NODISCARD Status file_open_unnamed(const char *directory, const char *name, char *path, int *fd);

/* STATUS_DATA if `path` is a link. For a file that will be replaced, which would replace the
 * link. */
NODISCARD Status file_refuse_link(const char *path);

/* Whether anything exists at `path`, including a dangling link. */
NODISCARD Status file_exists(const char *path, bool *out);

/* Whether anything exists at `path`, following links; if so, sets *info (may be NULL). */
NODISCARD Status file_look(const char *path, struct stat *info, bool *is_there);

/* close(2); does nothing for -1. */
void file_close(int fd);

/* ---- reading and writing --------------------------------------------------------------------- */

/* Reads the first `bytes` bytes of a regular file. *got: fewer if it is shorter, -1 if it does not
 * exist. */
NODISCARD Status file_read_beginning(const char *path, void *to, size_t bytes, ssize_t *got);

/* Reads `bytes` bytes from position `at`; fewer only at the end of the file: *got. */
NODISCARD Status file_read_at(int fd, const char *path, void *to, size_t bytes, size_t at,
                              size_t *got);

/* Reads a whole regular file and appends a zero byte. The caller frees *text; NULL if there is no
 * file. `size`: NULL for a text, whose zero bytes are replaced. Errors: STATUS_DATA also if it is
 * larger than `most`. */
NODISCARD Status file_read_all(const char *path, size_t most, char **text, size_t *size);

/* Writes all bytes; waits for a full pipe. Returns 0 or errno: ENOSPC, EFBIG (SIGXFSZ is blocked),
 * ... */
int file_write_all(int fd, const void *bytes, size_t n);

/* The same at the file's position, past the page cache if the file system can (O_DIRECT): for large
 * files that nobody reads soon. `bytes`, n and the position are multiples of FILE_BLOCK. */
enum { FILE_BLOCK = 4096 };
int file_write_direct(int fd, const void *bytes, size_t n);

/* Replaces the content of an open file in place. For lock files, which must remain the same file.
 * Returns 0 or errno. */
int file_rewrite(int fd, const void *bytes, size_t n);

/* A stream over a descriptor; takes it over even on failure (NULL). `mode` is "r" or "w". Unlike
 * fdopen's, it continues after EINTR; it has no fileno. */
FILE *file_stream(int fd, const char *mode);

/* Whether an errno is a failure of the machine (EIO, too many open files, ...) rather than of the
 * file or its path. */
bool file_is_machines(int error);

/* "PATH: cannot write: REASON", with advice if the disk is full. STATUS_FAILURE. */
NODISCARD Status file_cannot_write(const char *path, int error);

/* ---- durability and locks -------------------------------------------------------------------- */

/* fsync(2). Returns 0 or errno. */
int file_sync(int fd);

/* Makes the names in a directory durable. A directory that cannot be synced (EINVAL on some FUSE
 * and SMB mounts, or no permission to open it) is tolerated and recorded for file_notice_take.
 * Errors: STATUS_FAILURE (EIO, ...). */
NODISCARD Status file_sync_directory(const char *directory);

/* True once per process after file_sync_directory has tolerated a failure; `out` then holds the
 * warning. Any thread. */
bool file_notice_take(char *out, size_t capacity);

/* Takes the exclusive lock of a file (flock); waits for it if `waits`. Returns 0, EWOULDBLOCK if
 * another process holds it, or the reason why locks are unavailable. */
int file_lock(int fd, bool waits);

/* rename(2). Returns 0 or errno. */
int file_rename(const char *from, const char *to);

/* Exchanges two names in one step. Returns 0 or errno; EINVAL or ENOSYS if the file system
 * cannot. */
int file_exchange(const char *a, const char *b);

/* unlink(2); preserves errno, because it cleans up after failures. */
void file_remove(const char *path);

/* ---- directories ----------------------------------------------------------------------------- */

/* Calls visit(context, name) for each entry except . and .. until it returns false. No calls if the
 * directory is missing. Errors: STATUS_FAILURE if it cannot be listed completely. */
NODISCARD Status file_list(const char *directory, bool (*visit)(void *context, const char *name),
                           void *context);

/* Removes a directory and the files in it, as far as it can; does not follow a link at `path`.
 * Preserves errno. */
void file_remove_directory(const char *path);

/* The directory of `path`, "." if it contains no slash; truncated to `capacity`. */
void file_directory(const char *path, char *out, size_t capacity);
