#include "data/token_writer.h"

#include "data/hdf5_tokens.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER_BYTES = 1 << 20 };

struct TokenWriter {
    char path[PATH_MAX], part[PATH_MAX];
    int fd;
    TokenFormat format;
    TokenHeader header; /* count grows */
    uint8_t *buffer;
    size_t buffered; /* bytes */
};

static Status disk_error(const char *path, const char *what) {
    const char *way_out = errno == ENOSPC || errno == EDQUOT ? "; free some space" : "";
    return ERROR(STATUS_FAILURE, "%s: cannot %s: %s%s", path, what, strerror(errno), way_out);
}

/* An existing file is replaced only by its like: never somebody's text, model or notes. */
static Status replaceable_check(const char *path, TokenFormat format) {
    TokenFile *old;
    struct stat info;
    if (lstat(path, &info) != 0) return OK;
    Status status = token_file_open(path, &old);
    bool is_alike = !failed(status) && token_file_format(old) == format;
    token_file_destroy(&old);
    if (is_alike) return OK;
    return ERROR(STATUS_DATA, "%s: is there and is not a token file of this format; it is left alone, move it away",
                 path);
}

static Status header_init(TokenWriter *w, const Tokenizer *tokenizer) {
    int64_t vocab_size = tokenizer_vocab_size(tokenizer);
    w->header = (TokenHeader){.tokenizer_hash = tokenizer_hash(tokenizer),
                              .vocab_size = vocab_size,
                              .end_of_text = tokenizer_end_of_text(tokenizer),
                              .width = vocab_size <= UINT16_MAX + 1 ? 2 : 4};
    size_t size = sizeof w->header.tokenizer;
    if ((size_t)snprintf(w->header.tokenizer, size, "%s", tokenizer_name(tokenizer)) >= size) {
        return ERROR(STATUS_USAGE, "the tokenizer's path is longer than %zu bytes; use a shorter one", size - 1);
    }
    if (w->format == TOKENS_NANOGPT && w->header.width != 2) {
        return ERROR(STATUS_USAGE, "--format=bin is uint16, too small for a vocabulary of %lld; use --format=h5",
                     (long long)vocab_size);
    }
    return OK;
}

/* The other one may have published the file between our open and our lock: then this is no longer PATH.part. */
static bool is_still_part(const TokenWriter *w) {
    struct stat opened, named;
    return fstat(w->fd, &opened) == 0 && stat(w->part, &named) == 0 && opened.st_ino == named.st_ino;
}

/* The lock keeps two ./prepare from writing one file; what a killed one left behind is written over. */
static Status part_open(TokenWriter *w) {
    w->fd = open(w->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (w->fd < 0) return disk_error(w->part, "create it");
    if (flock(w->fd, LOCK_EX | LOCK_NB) != 0 || !is_still_part(w)) {
        close(w->fd);
        w->fd = -1;
        return ERROR(STATUS_DATA, "%s: another program is writing it; wait for that one or choose another --out",
                     w->part);
    }
    bool is_ready = ftruncate(w->fd, 0) == 0 && lseek(w->fd, (off_t)w->header.offset, SEEK_SET) >= 0;
    return is_ready ? OK : disk_error(w->part, "write");
}

/* The header is written last; how long it is does not depend on the number of tokens. */
static Status header_measure(TokenWriter *w) {
    uint8_t *header = NULL;
    if (w->format == TOKENS_NANOGPT) return OK;
    w->header.count = 1;
    TRY(hdf5_tokens_build(&w->header, &header));
    free(header);
    w->header.count = 0;
    return OK;
}

Status token_writer_create(const char *path, TokenFormat format, const Tokenizer *tokenizer, TokenWriter **out) {
    Status status;
    *out = NULL;
    TRY(replaceable_check(path, format));
    TokenWriter *w = calloc(1, sizeof *w);
    if (w == NULL || (w->buffer = malloc(BUFFER_BYTES)) == NULL) {
        free(w);
        return ERROR(STATUS_NO_ROOM, "out of memory");
    }
    w->fd = -1;
    w->format = format;
    if (snprintf(w->path, PATH_MAX, "%s", path) + 5 >= PATH_MAX) {
        status = ERROR(STATUS_USAGE, "%s: the path is too long", path);
        goto failed;
    }
    snprintf(w->part, PATH_MAX, "%.*s.part", PATH_MAX - 6, path);
    TRY_ELSE(status, header_init(w, tokenizer), failed);
    TRY_ELSE(status, header_measure(w), failed);
    TRY_ELSE(status, part_open(w), failed);
    *out = w;
    return OK;
failed:
    token_writer_destroy(&w);
    return status;
}

void token_writer_destroy(TokenWriter **writer) {
    if (writer == NULL || *writer == NULL) return;
    TokenWriter *w = *writer;
    if (w->fd >= 0) {
        unlink(w->part); /* before the lock goes with the descriptor; gone already where it was published */
        close(w->fd);
    }
    free(w->buffer);
    free(w);
    *writer = NULL;
}

static Status write_all(TokenWriter *w, const uint8_t *bytes, size_t size) {
    while (size > 0) {
        ssize_t written = write(w->fd, bytes, size);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return disk_error(w->part, "write");
        bytes += written;
        size -= (size_t)written;
    }
    return OK;
}

static Status flush(TokenWriter *w) {
    TRY(write_all(w, w->buffer, w->buffered));
    w->buffered = 0;
    return OK;
}

Status token_writer_append(TokenWriter *w, const TokenBuffer *tokens) {
    for (size_t i = 0; i < tokens->count; i++) {
        if (w->buffered == BUFFER_BYTES) TRY(flush(w));
        uint32_t token = (uint32_t)tokens->tokens[i]; /* little-endian, as all formats are */
        memcpy(w->buffer + w->buffered, &token, (size_t)w->header.width);
        w->buffered += (size_t)w->header.width;
    }
    w->header.count += (int64_t)tokens->count;
    return OK;
}

int64_t token_writer_count(const TokenWriter *w) { return w->header.count; }

static Status header_write(TokenWriter *w) {
    uint8_t *header = NULL;
    size_t offset = w->header.offset;
    TRY(hdf5_tokens_build(&w->header, &header));
    Status status = OK;
    if (w->header.offset != offset) {
        status = ERROR(STATUS_FAILURE, "%s: HDF5 made a header of another size than before", w->part);
    } else if (lseek(w->fd, 0, SEEK_SET) < 0) {
        status = disk_error(w->part, "seek");
    } else {
        status = write_all(w, header, offset);
    }
    free(header);
    return status;
}

Status token_writer_finish(TokenWriter *w) {
    if (w->header.count == 0) return ERROR(STATUS_DATA, "%s: there are no tokens for it", w->path);
    TRY(flush(w));
    if (w->format == TOKENS_HDF5) TRY(header_write(w));
    if (fsync(w->fd) != 0) return disk_error(w->part, "write");
    return OK;
}

static Status directory_sync(const char *path) {
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return disk_error(copy, "open the directory");
    Status status = fsync(fd) == 0 || errno == EINVAL ? OK : disk_error(copy, "sync the directory");
    close(fd);
    return status;
}

Status token_writer_publish(TokenWriter *w) {
    if (rename(w->part, w->path) != 0) return disk_error(w->path, "replace it");
    close(w->fd);
    w->fd = -1;
    return directory_sync(w->path);
}
