/* Input files: what a user names to be read, opened and read as core/base/file.h does it; here a
 * missing one is an error, and so is one that ends early. Never mapped: where another program cuts
 * a mapped file short, or the disk cannot give a page of it, the reader gets SIGBUS; a read gets an
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
    uint64_t bytes;   /* of the file when it was opened */
} InputFile;

/* input_open: never waits, so a pipe without a writer does not hang it.
 *   Errors, with out->fd = -1: STATUS_DATA where it is missing, may not be read, or is no regular
 *   file; STATUS_FAILURE where the machine is to blame (EIO, too many open files). */
NODISCARD Status input_open(const char *path, InputFile *out);
void input_close(InputFile *file);

/* input_read: bytes [at, at + bytes) of the file.
 *   Errors: STATUS_DATA where the file ends before, STATUS_FAILURE where the disk cannot be
 *   read. */
NODISCARD Status input_read(const InputFile *file, void *out, size_t bytes, uint64_t at);

/* input_read_whole: *text is all of a file of at most `most` bytes, to its end, with a zero behind
 * it that *bytes does not count; free() it.
 *   Errors: those of input_open and input_read; STATUS_DATA for a larger file; STATUS_NO_ROOM. */
NODISCARD Status input_read_whole(const char *path, size_t most, char **text, size_t *bytes);

#ifdef __cplusplus
}
#endif
