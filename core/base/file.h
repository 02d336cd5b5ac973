/* Files: the one place that opens, reads, writes, syncs and locks them. Every call is taken up
 * again after EINTR, but for close, after which the descriptor is gone. Nothing here is collective.
 *
 * Three things are told apart everywhere: a file that is not there (an answer, never an error), one
 * that is no regular file (STATUS_DATA: FIFOs and devices are never waited for), and one that the
 * machine cannot read or write (STATUS_FAILURE with the reason). A failed read is never an end. To
 * replace a file whole, see core/base/replacement.h. */
#pragma once

#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>

/* ---- opening --------------------------------------------------------------------------------- */

/* open(2), O_CLOEXEC and O_NOCTTY added. -1 and errno. */
int file_open(const char *path, int flags, mode_t mode);

/* Opens a regular file to read. OK with *fd = -1 where there is none: the caller says what to do
 * about it. */
NODISCARD Status file_open_regular(const char *path, int *fd);

/* Opens a regular file to append to, made where it is missing (0666, less the umask). A link is
 * refused. */
NODISCARD Status file_open_append(const char *path, int *fd);

/* STATUS_DATA where a link is at `path`: for a file that will be replaced, and the link with it. */
NODISCARD Status file_refuse_link(const char *path);

/* Says whether something is at `path`, if only a link that leads nowhere. */
NODISCARD Status file_exists(const char *path, bool *out);

/* Says whether something is at `path`, links followed; *info (NULL: not wanted) is set where there
 * is. */
NODISCARD Status file_look(const char *path, struct stat *info, bool *is_there);

/* close(2); without effect on -1. */
void file_close(int fd);

/* ---- reading and writing --------------------------------------------------------------------- */

/* Reads `bytes` bytes from position `at`, fewer only at the end: *got. */
NODISCARD Status file_read_at(int fd, const char *path, void *to, size_t bytes, size_t at,
                              size_t *got);

/* Reads a regular file whole, to its end, a zero behind it: *text is the caller's to free, NULL
 * where there is no file. `size` may be NULL. Errors: STATUS_DATA also where it is larger than
 * `most`. */
NODISCARD Status file_read_all(const char *path, size_t most, char **text, size_t *size);

/* Writes all bytes, and waits for a pipe that is full. 0 or errno: ENOSPC, EFBIG (a limit raises no
 * SIGXFSZ here), ... */
int file_write_all(int fd, const void *bytes, size_t n);

/* Makes an open file hold these bytes, in place: for lock files, which must stay the same file. 0
 * or errno. */
int file_rewrite(int fd, const void *bytes, size_t n);

/* A stream over a descriptor, which it takes over, even where it fails: NULL. `mode` is "r" or "w".
 * Unlike fdopen's it goes on after EINTR; it has no fileno. */
FILE *file_stream(int fd, const char *mode);

/* Whether an errno is the machine's failure (EIO, too many open files, ...), and not a fault of the
 * file or its path. */
bool file_is_machines(int error);

/* "PATH: cannot write: REASON", with what to do where the disk is full. STATUS_FAILURE. */
NODISCARD Status file_cannot_write(const char *path, int error);

/* ---- durability and locks -------------------------------------------------------------------- */

/* fsync(2). 0 or errno. */
int file_sync(int fd);

/* Makes the names in a directory durable. A directory that cannot be synced (EINVAL on some FUSE
 * and SMB mounts, or no right to open it) is tolerated, and remembered for file_notice_take.
 * Errors: STATUS_FAILURE (EIO, ...). */
NODISCARD Status file_sync_directory(const char *directory);

/* True once in a process after file_sync_directory tolerated something; `out` then says so in a
 * line. From any thread. */
bool file_notice_take(char *out, size_t room);

/* Takes the exclusive lock of a file (flock), and waits for it where `waits`. 0, EWOULDBLOCK where
 * another holds it, or why there are no locks. */
int file_lock(int fd, bool waits);

/* rename(2). 0 or errno. */
int file_rename(const char *from, const char *to);

/* unlink(2); errno stays as it was, for this is how failures clean up. */
void file_remove(const char *path);

/* ---- directories ----------------------------------------------------------------------------- */

/* Calls visit(context, name) for each entry but . and .. until it is false. No directory: no calls.
 * Errors: STATUS_FAILURE where it cannot be listed to its end. */
NODISCARD Status file_list(const char *directory, bool (*visit)(void *context, const char *name),
                           void *context);

/* The directory that holds `path`: "." where no slash is in it. In `out`, cut to fit. */
void file_directory(const char *path, char *out, size_t room);
