#include "data/corpus.h"

#include "core/base/file.h"
#include "core/base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER_BYTES = 2 << 20, LINE_BYTES = 64 << 10 };

typedef struct CorpusFile {
    const char *path; /* borrowed */
    int fd;           /* of a copy; -1: a regular file, opened on each read */
    int64_t bytes;
} CorpusFile;

struct Corpus {
    int count;
    int64_t bytes;
    CorpusFile sources[];
};

/* ---- opening --------------------------------------------------------------------------------- */

static Status cannot_open(const char *path) {
    if (errno == ENOENT)
        return ERROR(STATUS_DATA, "%s: no such file; name the text files to read", path);
    if (errno == EACCES)
        return ERROR(STATUS_DATA, "%s: no permission to read it; run chmod +r on it", path);
    StatusCode code = file_is_machines(errno) ? STATUS_FAILURE : STATUS_DATA;
    return ERROR(code, "%s: cannot open it: %s", path, strerror(errno));
}

static Status copy_all(const char *path, int from, int to, int64_t *bytes) {
    char buffer[1 << 16];
    ssize_t n;
    while ((n = read(from, buffer, sizeof buffer)) != 0) {
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return ERROR(STATUS_FAILURE, "%s: cannot read it: %s", path, strerror(errno));
        int error = file_write_all(to, buffer, (size_t)n);
        if (error != 0)
            return ERROR(STATUS_FAILURE, "%s: cannot keep a copy of it: %s", path, strerror(error));
        *bytes += n;
    }
    return OK;
}

static Status source_spool(CorpusFile *source, int from, const char *scratch) {
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/.input-XXXXXX", scratch) >= PATH_MAX) {
        return ERROR(STATUS_USAGE, "%s: the path is too long", scratch);
    }
    source->fd = mkostemp(path, O_CLOEXEC);
    if (source->fd < 0)
        return ERROR(STATUS_FAILURE, "%s: cannot create it: %s", path, strerror(errno));
    unlink(path);
    return copy_all(source->path, from, source->fd, &source->bytes);
}

static Status source_look(CorpusFile *source, int fd, const char *scratch) {
    struct stat info;
    if (fstat(fd, &info) != 0) return cannot_open(source->path);
    if (S_ISDIR(info.st_mode)) {
        return ERROR(STATUS_DATA, "%s: is a directory; name the text files in it, such as %s/*.txt",
                     source->path, source->path);
    }
    source->bytes = S_ISREG(info.st_mode) ? info.st_size : 0;
    if (!S_ISREG(info.st_mode) || fd == STDIN_FILENO) {
        source->bytes = 0;
        TRY(source_spool(source, fd, scratch));
    }
    if (source->bytes == 0)
        return ERROR(STATUS_DATA, "%s: is empty; name a file with text", source->path);
    return OK;
}

static Status source_open(CorpusFile *source, const char *path, const char *scratch) {
    bool is_stdin = strcmp(path, "-") == 0;
    *source = (CorpusFile){.path = is_stdin ? "standard input" : path, .fd = -1};
    int fd = is_stdin ? STDIN_FILENO : file_open(path, O_RDONLY, 0);
    if (fd < 0) return cannot_open(path);
    Status status = source_look(source, fd, scratch);
    if (!is_stdin) close(fd);
    return status;
}

Status corpus_open(char *const *paths, int count, const char *scratch, Corpus **out) {
    *out = NULL;
    Corpus *corpus = calloc(1, sizeof *corpus + (size_t)count * sizeof *corpus->sources);
    if (corpus == NULL) return ERROR(STATUS_NO_ROOM, "out of memory");
    for (; corpus->count < count; corpus->count++) {
        CorpusFile *source = &corpus->sources[corpus->count];
        Status status = source_open(source, paths[corpus->count], scratch);
        corpus->bytes += source->bytes;
        if (!failed(status)) continue;
        if (source->fd >= 0) close(source->fd);
        corpus_destroy(&corpus);
        return status;
    }
    *out = corpus;
    return OK;
}

void corpus_destroy(Corpus **corpus) {
    if (corpus == NULL || *corpus == NULL) return;
    for (int i = 0; i < (*corpus)->count; i++) {
        if ((*corpus)->sources[i].fd >= 0) close((*corpus)->sources[i].fd);
    }
    free(*corpus);
    *corpus = NULL;
}

int64_t corpus_bytes(const Corpus *corpus) { return corpus->bytes; }

/* ---- reading --------------------------------------------------------------------------------- */

static Status source_begin(const CorpusFile *source, int *fd) {
    *fd = source->fd >= 0 ? source->fd : file_open(source->path, O_RDONLY, 0);
    return *fd >= 0 ? OK : cannot_open(source->path);
}

static void source_end(const CorpusFile *source, int fd) {
    if (fd != source->fd) close(fd);
}

static Status read_at(const CorpusFile *source, int fd, uint8_t *out, size_t bytes, int64_t at) {
    size_t got;
    TRY(file_read_at(fd, source->path, out, bytes, (size_t)at, &got));
    if (got == bytes) return OK;
    return ERROR(STATUS_DATA, "%s: became shorter during reading; start again", source->path);
}

/* ---- the split ------------------------------------------------------------------------------- */

/* Returns the number of bytes from the end of `bytes` back to the position after the last newline
 * or, without a newline, to the start of a character. */
static int64_t back_of(const uint8_t *bytes, size_t size) {
    const uint8_t *newline = memrchr(bytes, '\n', size);
    if (newline != NULL) return bytes + size - (newline + 1);
    return (int64_t)(size - utf8_cut(bytes, size));
}

static Status line_start(const CorpusFile *source, int64_t at, int64_t *back) {
    static uint8_t bytes[LINE_BYTES];
    int fd;
    size_t size = at < LINE_BYTES ? (size_t)at : LINE_BYTES;
    TRY(source_begin(source, &fd));
    Status status = read_at(source, fd, bytes, size, at - (int64_t)size);
    source_end(source, fd);
    *back = failed(status) ? 0 : back_of(bytes, size);
    return status;
}

Status corpus_split(const Corpus *corpus, double fraction, int64_t *cut) {
    *cut = corpus->bytes - (int64_t)((double)corpus->bytes * fraction);
    if (fraction == 0) return OK;
    int64_t start = 0, back = 0;
    const CorpusFile *source = corpus->sources;
    for (; start + source->bytes < *cut; source++) start += source->bytes;
    TRY(line_start(source, *cut - start, &back));
    *cut -= back;
    if (*cut > 0 && *cut < corpus->bytes) return OK;
    return ERROR(
        STATUS_DATA,
        "%s: too little text to reserve %g of it for validation; use more text or --val-fraction=0",
        corpus->sources[0].path, fraction);
}

/* ---- encoding -------------------------------------------------------------------------------- */

typedef struct Encoding {
    Tokenizer *tokenizer;
    TokenWriter *writer;
    CorpusProgressFn progress;
    void *context;
    TokenBuffer tokens;
    uint8_t *buffer;
    int64_t done;
} Encoding;

/* Encodes the complete pieces in the buffer; *used = the bytes encoded. */
static Status encode_buffer(Encoding *e, size_t filled, bool is_last, size_t *used) {
    e->tokens.count = 0;
    *used = filled;
    if (!is_last) {
        TRY(tokenizer_encode_part(e->tokenizer, e->buffer, filled, &e->tokens, used));
        if (*used == 0) *used = utf8_cut(e->buffer, filled);
    }
    if (is_last || e->tokens.count == 0)
        TRY(tokenizer_encode(e->tokenizer, e->buffer, *used, &e->tokens));
    return token_writer_append(e->writer, &e->tokens);
}

static Status encode_range(Encoding *e, const CorpusFile *source, int fd, int64_t from,
                           int64_t to) {
    size_t filled = 0, used;
    for (int64_t at = from; at < to || filled > 0; filled -= used) {
        int64_t space = (int64_t)(BUFFER_BYTES - filled), more = to - at < space ? to - at : space;
        TRY(read_at(source, fd, e->buffer + filled, (size_t)more, at));
        at += more;
        filled += (size_t)more;
        TRY(encode_buffer(e, filled, at == to, &used));
        memmove(e->buffer, e->buffer + used, filled - used);
        e->done += (int64_t)used;
        if (e->progress != NULL) e->progress(e->context, e->done);
    }
    return OK;
}

static Status encode_source(Encoding *e, const CorpusFile *source, int64_t from, int64_t to) {
    int fd;
    if (token_writer_count(e->writer) > 0) {
        e->tokens.count = 0;
        int32_t end_of_text = tokenizer_end_of_text(e->tokenizer);
        TRY(token_buffer_append(&e->tokens, &end_of_text, 1));
        TRY(token_writer_append(e->writer, &e->tokens));
    }
    TRY(source_begin(source, &fd));
    Status status = encode_range(e, source, fd, from, to);
    source_end(source, fd);
    return status;
}

static Status encode_sources(Encoding *e, const Corpus *corpus, int64_t from, int64_t to) {
    int64_t start = 0;
    for (int i = 0; i < corpus->count; start += corpus->sources[i++].bytes) {
        int64_t bytes = corpus->sources[i].bytes, first = from > start ? from - start : 0;
        int64_t last = to - start < bytes ? to - start : bytes;
        if (first < last) TRY(encode_source(e, &corpus->sources[i], first, last));
    }
    return OK;
}

Status corpus_encode(const Corpus *corpus, int64_t from, int64_t to, Tokenizer *tokenizer,
                     TokenWriter *writer, CorpusProgressFn progress, void *context) {
    Encoding e = {tokenizer, writer,       progress,
                  context,   .done = from, .buffer = malloc(BUFFER_BYTES)};
    if (e.buffer == NULL) return ERROR(STATUS_NO_ROOM, "out of memory");
    Status status = encode_sources(&e, corpus, from, to);
    token_buffer_free(&e.tokens);
    free(e.buffer);
    return status;
}
