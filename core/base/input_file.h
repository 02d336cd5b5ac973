/* Input files: files that a user names for reading. Opened and read as core/base/file.h does,
 * except that a missing file or an early end is an error. Never mapped: if another program
 * truncates a mapped file or the disk cannot read a page, the process gets SIGBUS; a read gets an
 * error. Not collective, any thread. */
#pragma once

#include "core/status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct InputFile {
    const char *path; /* borrowed */
    int fd;           /* -1: not open */
    uint64_t bytes;   /* size when it was opened */
} InputFile;

/* input_open: never blocks, so a pipe without a writer does not hang it.
 *   Errors, with out->fd = -1: STATUS_DATA if it is missing, not readable, or not a regular file;
 *   STATUS_FAILURE for a failure of the machine (EIO, too many open files). */
NODISCARD Status input_open(const char *path, InputFile *out);
void input_close(InputFile *file);

/* input_read: bytes [at, at + bytes) of the file.
 *   Errors: STATUS_DATA if the file ends earlier, STATUS_FAILURE if the disk cannot be read. */
NODISCARD Status input_read(const InputFile *file, void *out, size_t bytes, uint64_t at);

/* input_read_whole: *text = the content of a file of at most `most` bytes, plus a zero byte that
 * *bytes does not count. The caller frees it.
 *   Errors: those of input_open and input_read; STATUS_DATA for a larger file;
 * STATUS_OUT_OF_MEMORY. */
NODISCARD Status input_read_whole(const char *path, size_t most, char **text, size_t *bytes);

#ifdef __cplusplus
}
#endif
