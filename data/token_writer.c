#include "data/token_writer.h"

#include "core/base/file.h"
#include "core/base/replacement.h"
#include "data/hdf5_tokens.h"
#include "data/llmc_tokens.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BUFFER_BYTES = 1 << 20 };

struct TokenWriter {
    Replacement *file;
    TokenFormat format;
    TokenHeader header; /* count grows while writing */
    uint8_t *buffer;
    size_t buffered; /* bytes */
};

static const char *path_of(const TokenWriter *w) { return replacement_path(w->file); }

/* Replaces an existing file only if it is a token file of the same format, never a user's text,
 * model or notes. */
static Status replaceable_check(const char *path, TokenFormat format, bool *is_there) {
    TokenFile *old;
    TRY(file_look(path, NULL, is_there));
    if (!*is_there) return OK;
    Status status = token_file_open(path, &old);
    bool is_alike = !failed(status) && token_file_format(old) == format;
    token_file_destroy(&old);
    if (is_alike) return OK;
    return ERROR(
        STATUS_DATA,
        "%s: already exists and is not a token file of this format; it is unchanged, move it away",
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
        return ERROR(STATUS_USAGE,
                     "the path of the tokenizer is longer than %zu bytes; use a shorter path",
                     size - 1);
    }
    if (w->format == TOKENS_NANOGPT && w->header.width != 2) {
        return ERROR(STATUS_USAGE,
                     "--format=bin stores uint16, too small for a vocabulary of %lld; use "
                     "--format=h5 or llmc",
                     (long long)vocab_size);
    }
    return OK;
}

static Status seek(const TokenWriter *w, size_t at) {
    if (lseek(replacement_fd(w->file), (off_t)at, SEEK_SET) >= 0) return OK;
    return file_cannot_write(path_of(w), errno);
}

/* Measures the header, which is written last; its length does not depend on the number of
 * tokens. */
static Status header_measure(TokenWriter *w) {
    uint8_t *header = NULL;
    w->header.offset = w->format == TOKENS_LLMC ? LLMC_HEADER_BYTES : 0;
    if (w->format != TOKENS_HDF5) return OK;
    w->header.count = 1;
    TRY(hdf5_tokens_build(&w->header, &header));
    free(header);
    w->header.count = 0;
    return OK;
}

static Status writer_begin(TokenWriter *w, const char *path, const Tokenizer *tokenizer) {
    bool is_there;
    TRY(replaceable_check(path, w->format, &is_there));
    TRY(header_init(w, tokenizer));
    TRY(header_measure(w));
    TRY(replacement_begin(path, &w->file));
    if (!is_there) replacement_keep_old(w->file); /* protects a file that appears meanwhile */
    return seek(w, w->header.offset);
}

Status token_writer_create(const char *path, TokenFormat format, const Tokenizer *tokenizer,
                           TokenWriter **out) {
    *out = NULL;
    TokenWriter *w = calloc(1, sizeof *w);
    if (w == NULL || (w->buffer = malloc(BUFFER_BYTES)) == NULL) {
        free(w);
        return OUT_OF_MEMORY("%s", path);
    }
    w->format = format;
    Status status = writer_begin(w, path, tokenizer);
    if (failed(status)) token_writer_destroy(&w);
    *out = w;
    return status;
}

void token_writer_destroy(TokenWriter **writer) {
    if (writer == NULL || *writer == NULL) return;
    replacement_destroy(&(*writer)->file);
    free((*writer)->buffer);
    free(*writer);
    *writer = NULL;
}

static Status flush(TokenWriter *w) {
    TRY(replacement_write(w->file, w->buffer, w->buffered));
    w->buffered = 0;
    return OK;
}

Status token_writer_append(TokenWriter *w, const TokenBuffer *tokens) {
    for (size_t i = 0; i < tokens->count; i++) {
        if (w->buffered == BUFFER_BYTES) TRY(flush(w));
        uint32_t token = (uint32_t)tokens->tokens[i]; /* little-endian in every format */
        memcpy(w->buffer + w->buffered, &token, (size_t)w->header.width);
        w->buffered += (size_t)w->header.width;
    }
    w->header.count += (int64_t)tokens->count;
    return OK;
}

int64_t token_writer_count(const TokenWriter *w) { return w->header.count; }

static Status header_put(TokenWriter *w, const uint8_t *header, size_t bytes) {
    if (w->header.offset != bytes) {
        return ERROR(STATUS_FAILURE, "%s: HDF5 wrote a header of a different size than measured",
                     path_of(w));
    }
    TRY(seek(w, 0));
    return replacement_write(w->file, header, bytes);
}

static Status hdf5_header_write(TokenWriter *w) {
    uint8_t *header = NULL;
    size_t offset = w->header.offset;
    TRY(hdf5_tokens_build(&w->header, &header));
    Status status = header_put(w, header, offset);
    free(header);
    return status;
}

static Status llmc_header_write(TokenWriter *w) {
    int32_t header[LLMC_HEADER_BYTES / sizeof(int32_t)] = {0};
    int kind = 0;
    while (llmc_kinds[kind].width != w->header.width) kind++;
    if (w->header.count > INT32_MAX) {
        return ERROR(STATUS_USAGE,
                     "%s: llm.c's header counts at most %d tokens, these are %lld; write shards, "
                     "with --shard-tokens=100M",
                     path_of(w), INT32_MAX, (long long)w->header.count);
    }
    header[0] = llmc_kinds[kind].magic;
    header[1] = llmc_kinds[kind].version;
    header[2] = (int32_t)w->header.count;
    return header_put(w, (const uint8_t *)header, sizeof header);
}

static Status header_write(TokenWriter *w) {
    if (w->format == TOKENS_NANOGPT) return OK;
    return w->format == TOKENS_HDF5 ? hdf5_header_write(w) : llmc_header_write(w);
}

Status token_writer_finish(TokenWriter *w) {
    if (w->header.count == 0)
        return ERROR(STATUS_DATA, "%s: the text gave no tokens; use more text", path_of(w));
    TRY(flush(w));
    free(w->buffer);
    w->buffer = NULL;
    return header_write(w);
}

Status token_writers_publish(TokenWriter *const *writers, size_t n) {
    Replacement **files = malloc(n * sizeof *files);
    if (files == NULL) return OUT_OF_MEMORY("the names of files");
    for (size_t i = 0; i < n; i++) files[i] = writers[i]->file;
    Status status = replacement_commit_all(files, n);
    free(files);
    return status;
}
