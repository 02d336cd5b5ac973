/* GPT-2's tokenizer: cuts text into pieces with the pattern, then merges bytes into tokens. A cache
 * holds the tokens of recent pieces, because most words repeat: a hit costs a hash and a
 * comparison, a merge about thirty look-ups. */
#include "core/base/utf8.h"
#include "data/bpe.h"
#include "data/gpt2_pattern.h"
#include "data/tokenizer_kind.h"
#include "data/vocabulary.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum {
    CACHE_SLOTS = 1 << 15, /* 64 bytes each: 2 MiB, about the size of one core's L2 cache */
    CACHED_BYTES = 26,
    CACHED_TOKENS = 9,
    LOOK_AHEAD =
        8, /* a piece depends on at most two characters after it, of up to four bytes each */
};

typedef struct CachedPiece {
    uint8_t length, count; /* length 0: the slot is empty */
    uint8_t bytes[CACHED_BYTES];
    int32_t tokens[CACHED_TOKENS];
} CachedPiece;

typedef struct Gpt2Tokenizer {
    Tokenizer base;
    Vocabulary *vocabulary;
    Gpt2Pattern *pattern;
    CachedPiece *cache; /* direct-mapped: a new piece replaces the old one in its slot */
} Gpt2Tokenizer;

static Status merge_piece(Gpt2Tokenizer *t, const uint8_t *piece, size_t length, TokenBuffer *out) {
    int32_t whole = NO_TOKEN;
    if (vocabulary_takes_whole_pieces(t->vocabulary))
        whole = vocabulary_find(t->vocabulary, piece, length);
    if (whole != NO_TOKEN) return token_buffer_append(out, &whole, 1);
    return bpe_encode(t->vocabulary, piece, length, out);
}

static Status encode_piece(Gpt2Tokenizer *t, const uint8_t *piece, size_t length,
                           TokenBuffer *out) {
    if (length > CACHED_BYTES) return merge_piece(t, piece, length, out);
    CachedPiece *slot = &t->cache[XXH3_64bits(piece, length) % CACHE_SLOTS];
    if (slot->length == length && memcmp(slot->bytes, piece, length) == 0) {
        return token_buffer_append(out, slot->tokens, slot->count);
    }
    size_t before = out->count;
    TRY(merge_piece(t, piece, length, out));
    size_t count = out->count - before;
    if (count > CACHED_TOKENS) return OK;
    slot->length = (uint8_t)length;
    slot->count = (uint8_t)count;
    memcpy(slot->bytes, piece, length);
    memcpy(slot->tokens, out->tokens + before, count * sizeof *slot->tokens);
    return OK;
}

/* The number of bytes from text[0] on that are not valid UTF-8. */
static size_t invalid_run(const uint8_t *text, size_t bytes) {
    size_t run = 0;
    while (run < bytes && utf8_character(text + run, bytes - run) == 0) run++;
    return run;
}

/* Encodes the pieces of valid[0..length) that end at or before `limit`; *at = the end of the last
 * one. */
static Status encode_valid(Gpt2Tokenizer *t, const uint8_t *valid, size_t length, size_t limit,
                           TokenBuffer *out, size_t *at) {
    size_t end;
    for (*at = 0; *at < length; *at = end) {
        TRY(gpt2_pattern_next(t->pattern, valid, length, *at, &end));
        if (end > limit) break;
        TRY(encode_piece(t, valid + *at, end - *at, out));
    }
    return OK;
}

static Status gpt2_encode(Tokenizer *tokenizer, const uint8_t *text, size_t bytes, bool is_last,
                          TokenBuffer *out, size_t *used) {
    Gpt2Tokenizer *t = (Gpt2Tokenizer *)tokenizer;
    size_t limit = is_last ? bytes : bytes < LOOK_AHEAD ? 0 : bytes - LOOK_AHEAD;
    for (*used = 0; *used < limit;) {
        const uint8_t *rest = text + *used;
        size_t valid = utf8_valid_prefix(rest, bytes - *used), at = 0;
        TRY(encode_valid(t, rest, valid, limit - *used, out, &at));
        *used += at;
        if (at < valid) break;
        size_t run = invalid_run(text + *used, bytes - *used);
        if (run > limit - *used) break;
        if (run > 0) TRY(merge_piece(t, text + *used, run, out));
        *used += run;
    }
    return OK;
}

static const uint8_t *gpt2_decode(const Tokenizer *tokenizer, int64_t token, size_t *length) {
    return vocabulary_bytes(((const Gpt2Tokenizer *)tokenizer)->vocabulary, token, length);
}

static void gpt2_destroy(Tokenizer *tokenizer) {
    Gpt2Tokenizer *t = (Gpt2Tokenizer *)tokenizer;
    vocabulary_destroy(&t->vocabulary);
    gpt2_pattern_destroy(&t->pattern);
    free(t->cache);
    free(t);
}

static const TokenizerKind gpt2_kind = {gpt2_encode, gpt2_decode, gpt2_destroy};

Status gpt2_tokenizer_create(const char *path, Tokenizer **out) {
    Status status;
    Gpt2Tokenizer *t = calloc(1, sizeof *t);
    if (t == NULL) return ERROR(STATUS_NO_ROOM, "out of memory");
    TRY_ELSE(status, vocabulary_load(path, &t->vocabulary), failed);
    TRY_ELSE(status, gpt2_pattern_create(&t->pattern), failed);
    t->cache = calloc(CACHE_SLOTS, sizeof *t->cache);
    if (t->cache == NULL) {
        status = ERROR(STATUS_NO_ROOM, "out of memory for the tokenizer's cache");
        goto failed;
    }
    t->base = (Tokenizer){&gpt2_kind, NULL, vocabulary_size(t->vocabulary),
                          vocabulary_end_of_text(t->vocabulary), vocabulary_hash(t->vocabulary)};
    *out = &t->base;
    return OK;
failed:
    gpt2_destroy(&t->base);
    return status;
}
