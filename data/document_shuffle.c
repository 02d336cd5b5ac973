#include "data/document_shuffle.h"

#include "core/base/file.h"
#include "core/rng.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 256, BLOCK_BYTES = 256 << 10, STREAM = 0x5f1e };

/* Precedes a part of a document in its bucket. */
typedef struct PartHeader {
    uint64_t key;
    int64_t document;
    int32_t side;
    uint32_t count; /* of the tokens that follow, 4 bytes each; an odd number is padded */
} PartHeader;

/* A stream of bytes: whole blocks in the file, then the block in memory. */
typedef struct Bucket {
    uint8_t *block;
    size_t filled;
    int64_t *blocks; /* their positions in the file, in blocks */
    size_t n_blocks;
} Bucket;

struct DocumentShuffle {
    char path[PATH_MAX]; /* for messages */
    int fd;
    uint64_t seed;
    int64_t blocks; /* in the file */
    PartHeader current;
    Bucket buckets[BUCKETS];
};

/* ---- writing --------------------------------------------------------------------------------- */

Status document_shuffle_create(const char *directory, uint64_t seed, DocumentShuffle **out) {
    DocumentShuffle *s = *out = calloc(1, sizeof *s);
    if (s == NULL) return OUT_OF_MEMORY("the shuffle of documents");
    s->seed = seed;
    s->current.document = -1;
    Status status = file_open_unnamed(directory, "shuffle", s->path, &s->fd);
    if (failed(status)) document_shuffle_destroy(out);
    return status;
}

static void bucket_free(Bucket *bucket) {
    free(bucket->block);
    free(bucket->blocks);
    *bucket = (Bucket){0};
}

void document_shuffle_destroy(DocumentShuffle **shuffle) {
    if (*shuffle == NULL) return;
    for (int i = 0; i < BUCKETS; i++) bucket_free(&(*shuffle)->buckets[i]);
    file_close((*shuffle)->fd);
    free(*shuffle);
    *shuffle = NULL;
}

void document_shuffle_begin(DocumentShuffle *s, int side) {
    int64_t document = s->current.document + 1;
    Philox random = philox(s->seed, (uint64_t)document, STREAM);
    s->current = (PartHeader){
        .key = (uint64_t)random.word[1] << 32 | random.word[0], .document = document, .side = side};
}

static Status block_flush(DocumentShuffle *s, Bucket *bucket) {
    bool is_power = (bucket->n_blocks & (bucket->n_blocks - 1)) == 0;
    if (is_power) { /* no space for another one */
        size_t capacity = bucket->n_blocks == 0 ? 1 : 2 * bucket->n_blocks;
        int64_t *blocks = realloc(bucket->blocks, capacity * sizeof *blocks);
        if (blocks == NULL) return OUT_OF_MEMORY("the shuffle of documents");
        bucket->blocks = blocks;
    }
    int error = file_write_all(s->fd, bucket->block, BLOCK_BYTES);
    if (error != 0) return file_cannot_write(s->path, error);
    bucket->blocks[bucket->n_blocks++] = s->blocks++;
    bucket->filled = 0;
    return OK;
}

static Status bucket_append(DocumentShuffle *s, Bucket *bucket, const void *bytes, size_t n) {
    if (bucket->block == NULL && (bucket->block = malloc(BLOCK_BYTES)) == NULL)
        return OUT_OF_MEMORY("the shuffle of documents");
    while (n > 0) {
        if (bucket->filled == BLOCK_BYTES) TRY(block_flush(s, bucket));
        size_t space = BLOCK_BYTES - bucket->filled, some = n < space ? n : space;
        memcpy(bucket->block + bucket->filled, bytes, some);
        bucket->filled += some;
        bytes = (const uint8_t *)bytes + some;
        n -= some;
    }
    return OK;
}

Status document_shuffle_append(DocumentShuffle *s, const TokenBuffer *tokens) {
    Bucket *bucket = &s->buckets[s->current.key >> 56];
    s->current.count = (uint32_t)tokens->count;
    TRY(bucket_append(s, bucket, &s->current, sizeof s->current));
    TRY(bucket_append(s, bucket, tokens->tokens, tokens->count * sizeof *tokens->tokens));
    return tokens->count % 2 == 0 ? OK : bucket_append(s, bucket, &(int32_t){0}, sizeof(int32_t));
}

/* ---- reading --------------------------------------------------------------------------------- */

static size_t bucket_bytes(const Bucket *bucket) {
    return bucket->n_blocks * BLOCK_BYTES + bucket->filled;
}

static Status bucket_read(const DocumentShuffle *s, const Bucket *bucket, uint8_t *out) {
    for (size_t i = 0; i < bucket->n_blocks; i++, out += BLOCK_BYTES) {
        size_t got, at = (size_t)bucket->blocks[i] * BLOCK_BYTES;
        TRY(file_read_at(s->fd, s->path, out, BLOCK_BYTES, at, &got));
        if (got < BLOCK_BYTES) return ERROR(STATUS_FAILURE, "%s: became shorter", s->path);
    }
    if (bucket->filled > 0) memcpy(out, bucket->block, bucket->filled);
    return OK;
}

static int by_key(const void *one, const void *other) {
    const PartHeader *a = *(const PartHeader *const *)one, *b = *(const PartHeader *const *)other;
    if (a->key != b->key) return a->key < b->key ? -1 : 1;
    if (a->document != b->document) return a->document < b->document ? -1 : 1;
    return (a > b) - (a < b); /* the parts of a document, in their order */
}

/* The parts in `bytes`: all in parts[], or only counted if it is NULL. */
static size_t parts_find(const uint8_t *bytes, size_t size, const PartHeader **parts) {
    size_t n = 0;
    for (size_t at = 0; at < size; n++) {
        const PartHeader *part = (const PartHeader *)(bytes + at);
        if (parts != NULL) parts[n] = part;
        at += sizeof *part + ((size_t)part->count + 1) / 2 * 2 * sizeof(int32_t);
    }
    return n;
}

static Status parts_pass(const PartHeader *const *parts, size_t n, const ShuffledSink *sink) {
    for (size_t i = 0; i < n; i++) {
        bool is_first = i == 0 || parts[i - 1]->document != parts[i]->document;
        TokenBuffer tokens = {.tokens = (int32_t *)(parts[i] + 1), .count = parts[i]->count};
        if (is_first) TRY(sink->begin(sink->context, parts[i]->side));
        TRY(sink->tokens(sink->context, &tokens));
    }
    return OK;
}

static Status bytes_pass(const uint8_t *bytes, size_t size, const ShuffledSink *sink) {
    size_t n = parts_find(bytes, size, NULL);
    const PartHeader **parts = malloc((n + 1) * sizeof *parts);
    if (parts == NULL) return OUT_OF_MEMORY("the shuffle of documents");
    parts_find(bytes, size, parts);
    qsort(parts, n, sizeof *parts, by_key);
    Status status = parts_pass(parts, n, sink);
    free(parts);
    return status;
}

static Status bucket_drain(const DocumentShuffle *s, const Bucket *bucket,
                           const ShuffledSink *sink) {
    size_t size = bucket_bytes(bucket);
    uint8_t *bytes = malloc(size + 1);
    if (bytes == NULL) {
        return ERROR(STATUS_OUT_OF_MEMORY,
                     "out of memory to shuffle: %zu MiB at a time; leave out --shuffle, or prepare "
                     "parts of the text one by one",
                     size >> 20);
    }
    Status status = bucket_read(s, bucket, bytes);
    if (!failed(status)) status = bytes_pass(bytes, size, sink);
    free(bytes);
    return status;
}

Status document_shuffle_drain(DocumentShuffle *s, const ShuffledSink *sink) {
    for (int i = 0; i < BUCKETS; i++) {
        TRY(bucket_drain(s, &s->buckets[i], sink));
        bucket_free(&s->buckets[i]);
    }
    return OK;
}
