#include "data/text_stream.h"

#include "core/base/file.h"
#include "data/decompressor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { INPUT_BYTES = 256 << 10, LONGEST_MAGIC = 4, WAIT_MILLISECONDS = 100 };

struct TextStream {
    const char *path;
    const volatile sig_atomic_t *interrupted; /* NULL: never */
    int fd;
    bool is_regular, is_borrowed;
    int64_t size;       /* of the file, or TEXT_UNKNOWN_SIZE */
    int64_t position;   /* file bytes read */
    const Codec *codec; /* NULL: plain */
    Decompressor *decompressor;
    bool stream_ended;  /* a compressed stream is complete */
    bool is_full;       /* the last step filled the output: more may follow without input */
    bool is_at_end;     /* the file has no more bytes */
    int64_t text_bytes; /* decompressed */
    size_t input_at, input_end;
    size_t head_at, head_end;
    uint8_t head[TEXT_HEAD_BYTES];
    uint8_t input[INPUT_BYTES];
};

/* ---- bytes of the file ----------------------------------------------------------------------- */

static Status cannot_open(const char *path) {
    if (errno == ENOENT)
        return ERROR(STATUS_DATA, "%s: no such file; name the text files to read", path);
    if (errno == EACCES)
        return ERROR(STATUS_DATA, "%s: no permission to read it; run chmod +r on it", path);
    if (errno == ELOOP)
        return ERROR(STATUS_DATA, "%s: a symbolic link that leads back to itself; remove it", path);
    StatusCode code = file_is_machines(errno) ? STATUS_FAILURE : STATUS_DATA;
    return ERROR(code, "%s: cannot open it: %s", path, strerror(errno));
}

static Status interruption_check(const TextStream *s) {
    if (s->interrupted == NULL || *s->interrupted == 0) return OK;
    return ERROR(STATUS_FAILURE, "%s: interrupted while reading", s->path);
}

/* Looks for an interruption now and then: a signal may come just before a wait, and then does not
 * end it. */
static Status pipe_wait(const TextStream *s) {
    struct pollfd pipe = {.fd = s->fd, .events = POLLIN};
    do TRY(interruption_check(s));
    while (poll(&pipe, 1, WAIT_MILLISECONDS) <= 0);
    return OK;
}

static Status pipe_read(TextStream *s, uint8_t *out, size_t capacity, size_t *got) {
    ssize_t n;
    do {
        TRY(pipe_wait(s));
        n = read(s->fd, out, capacity);
    } while (n < 0 && (errno == EINTR || errno == EAGAIN));
    *got = n < 0 ? 0 : (size_t)n;
    if (n >= 0) return OK;
    return ERROR(STATUS_FAILURE, "%s: cannot read it: %s", s->path, strerror(errno));
}

static Status file_read(TextStream *s, uint8_t *out, size_t capacity, size_t *got) {
    int64_t left = s->size - s->position;
    size_t wanted = left < (int64_t)capacity ? (size_t)left : capacity;
    TRY(file_read_at(s->fd, s->path, out, wanted, (size_t)s->position, got));
    if (*got == wanted) return OK;
    return ERROR(STATUS_DATA, "%s: became shorter during reading; start again", s->path);
}

/* Reads further bytes of the file behind those that are left in the input buffer. */
static Status input_fill(TextStream *s) {
    size_t kept = s->input_end - s->input_at, got = 0, space = INPUT_BYTES - kept;
    TRY(interruption_check(s));
    memmove(s->input, s->input + s->input_at, kept);
    s->input_at = 0;
    s->input_end = kept;
    TRY(s->is_regular ? file_read(s, s->input + kept, space, &got)
                      : pipe_read(s, s->input + kept, space, &got));
    s->input_end += got;
    s->position += (int64_t)got;
    s->is_at_end = got == 0;
    return OK;
}

/* ---- text ------------------------------------------------------------------------------------ */

static size_t plain_take(TextStream *s, uint8_t *out, size_t capacity) {
    size_t there = s->input_end - s->input_at, n = there < capacity ? there : capacity;
    memcpy(out, s->input + s->input_at, n);
    s->input_at += n;
    return n;
}

static Status truncated(const TextStream *s) {
    return ERROR(STATUS_DATA,
                 "%s: truncated: its %s data ends within a stream, after %lld bytes of text; fetch "
                 "or compress it again",
                 s->path, s->codec->name, (long long)s->text_bytes);
}

/* Zero bytes after the last stream are padding, as of tape blocks. */
static Status trailing_check(TextStream *s) {
    while (s->input_at < s->input_end && s->input[s->input_at] == 0) s->input_at++;
    if (s->input_at == s->input_end || s->input[s->input_at] == s->codec->magic[0]) return OK;
    return ERROR(STATUS_DATA,
                 "%s: other bytes follow its %s data, after %lld bytes of text; fetch it again",
                 s->path, s->codec->name, (long long)s->text_bytes);
}

static Status step(TextStream *s, uint8_t *out, size_t capacity, size_t *made) {
    size_t used = 0;
    Status status =
        s->codec->run(s->decompressor, s->input + s->input_at, s->input_end - s->input_at, &used,
                      out, capacity, made, &s->stream_ended);
    if (failed(status)) {
        return status_prefixed(status, "%s: after %lld bytes of text", s->path,
                               (long long)s->text_bytes);
    }
    s->input_at += used;
    s->is_full = *made == capacity && !s->stream_ended;
    return OK;
}

/* *made = 0 only at the end. */
static Status decompress(TextStream *s, uint8_t *out, size_t capacity, size_t *made) {
    *made = 0;
    while (*made == 0) {
        if (s->input_at == s->input_end && !s->is_full) TRY(input_fill(s));
        if (s->stream_ended) TRY(trailing_check(s));
        bool is_empty = s->input_at == s->input_end;
        if (is_empty && s->is_at_end && s->stream_ended) return OK;
        if (is_empty && s->is_at_end && !s->is_full) return truncated(s);
        if (!is_empty || s->is_full) TRY(step(s, out, capacity, made));
    }
    return OK;
}

/* Bytes that follow the head. */
static Status next_read(TextStream *s, uint8_t *out, size_t capacity, size_t *got) {
    *got = 0;
    while (*got < capacity) {
        size_t made = 0;
        if (s->codec != NULL) {
            TRY(decompress(s, out + *got, capacity - *got, &made));
        } else {
            if (s->input_at == s->input_end) TRY(input_fill(s));
            made = plain_take(s, out + *got, capacity - *got);
        }
        if (made == 0) return OK;
        *got += made;
        s->text_bytes += (int64_t)made;
    }
    return OK;
}

/* ---- the stream ------------------------------------------------------------------------------ */

static Status codec_find(TextStream *s) {
    static const Codec *const codecs[] = {&gzip_codec, &zstd_codec};
    for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++) {
        size_t n = codecs[i]->magic_bytes;
        if (s->input_end >= n && memcmp(s->input, codecs[i]->magic, n) == 0) s->codec = codecs[i];
    }
    if (s->codec == NULL) return OK;
    Status status = s->codec->create(&s->decompressor);
    return failed(status) ? status_prefixed(status, "%s", s->path) : OK;
}

static Status stream_begin(TextStream *s) {
    struct stat info;
    if (fstat(s->fd, &info) != 0) return cannot_open(s->path);
    if (S_ISDIR(info.st_mode)) {
        return ERROR(STATUS_DATA, "%s: is a directory; name the text files in it, such as %s/*.txt",
                     s->path, s->path);
    }
    s->is_regular = S_ISREG(info.st_mode) && s->fd != STDIN_FILENO;
    s->size = s->is_regular ? info.st_size : TEXT_UNKNOWN_SIZE;
    while (s->input_end < LONGEST_MAGIC && !s->is_at_end) TRY(input_fill(s));
    TRY(codec_find(s));
    return next_read(s, s->head, sizeof s->head, &s->head_end);
}

static Status stream_create(int fd, bool is_borrowed, const char *path,
                            const volatile sig_atomic_t *interrupted, TextStream **out) {
    TextStream *s = *out = calloc(1, sizeof *s);
    if (s == NULL) {
        if (!is_borrowed) file_close(fd);
        return ERROR(STATUS_OUT_OF_MEMORY, "%s: out of memory", path);
    }
    s->path = path;
    s->interrupted = interrupted;
    s->fd = fd;
    s->is_borrowed = is_borrowed;
    Status status = stream_begin(s);
    if (failed(status)) text_stream_close(out);
    return status;
}

Status text_stream_open(const char *path, const volatile sig_atomic_t *interrupted,
                        TextStream **out) {
    if (strcmp(path, "-") == 0)
        return stream_create(STDIN_FILENO, true, "standard input", interrupted, out);
    *out = NULL;
    int fd = file_open(path, O_RDONLY | O_NONBLOCK, 0); /* a pipe is waited for where it is read */
    return fd < 0 ? cannot_open(path) : stream_create(fd, false, path, interrupted, out);
}

Status text_stream_of_file(int fd, const char *path, const volatile sig_atomic_t *interrupted,
                           TextStream **out) {
    return stream_create(fd, true, path, interrupted, out);
}

void text_stream_close(TextStream **stream) {
    TextStream *s = *stream;
    if (s == NULL) return;
    if (s->decompressor != NULL) s->codec->destroy(s->decompressor);
    if (!s->is_borrowed) file_close(s->fd);
    free(s);
    *stream = NULL;
}

const char *text_stream_path(const TextStream *s) { return s->path; }
int64_t text_stream_file_bytes(const TextStream *s) { return s->size; }
bool text_stream_is_compressed(const TextStream *s) { return s->codec != NULL; }
int64_t text_stream_position(const TextStream *s) { return s->position; }

const uint8_t *text_stream_head(const TextStream *s, size_t *bytes) {
    *bytes = s->head_end;
    return s->head;
}

Status text_stream_read(TextStream *s, void *out, size_t capacity, size_t *got) {
    size_t kept = s->head_end - s->head_at, n = kept < capacity ? kept : capacity, rest;
    memcpy(out, s->head + s->head_at, n);
    s->head_at += n;
    TRY(next_read(s, (uint8_t *)out + n, capacity - n, &rest));
    *got = n + rest;
    return OK;
}

/* Drops what is in the buffers, and moves on in the file. */
static void position_skip(TextStream *s, int64_t bytes) {
    int64_t left = s->size - s->position;
    s->head_at = s->head_end;
    s->input_at = s->input_end;
    s->position += bytes < left ? bytes : left;
}

Status text_stream_skip(TextStream *s, int64_t bytes) {
    uint8_t dropped[1 << 14];
    size_t got;
    int64_t buffered = (int64_t)(s->head_end - s->head_at + s->input_end - s->input_at);
    if (s->is_regular && s->codec == NULL && bytes > buffered) {
        position_skip(s, bytes - buffered);
        return OK;
    }
    for (int64_t left = bytes; left > 0; left -= (int64_t)got) {
        size_t some = left < (int64_t)sizeof dropped ? (size_t)left : sizeof dropped;
        TRY(text_stream_read(s, dropped, some, &got));
        if (got < some) return OK;
    }
    return OK;
}
