/* A byte-pair tokenizer: the pre-tokenizer cuts text into pieces, then bytes are merged into
 * tokens. A cache holds the tokens of recent pieces, because most words repeat: a hit costs a hash
 * and a comparison, a merge about thirty look-ups. */
#include "data/bpe.h"
#include "data/bpe_files.h"
#include "data/encodings.h"
#include "data/tokenizer_kind.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum {
    CACHE_SLOTS = 1 << 15, /* 64 bytes each: 2 MiB, about the size of one core's L2 cache */
    CACHED_BYTES = 26,
    CACHED_TOKENS = 9,
};

typedef struct CachedPiece {
    uint8_t length, count; /* length 0: the slot is empty */
    uint8_t bytes[CACHED_BYTES];
    int32_t tokens[CACHED_TOKENS];
} CachedPiece;

typedef struct BpeTokenizer {
    Tokenizer base;
    Vocabulary *vocabulary;
    PreTokenizer *pre_tokenizer;
    CachedPiece *cache; /* direct-mapped: a new piece replaces the old one in its slot */
} BpeTokenizer;

static Status merge_piece(BpeTokenizer *t, const uint8_t *piece, size_t length, TokenBuffer *out) {
    int32_t whole = NO_TOKEN;
    if (vocabulary_takes_whole_pieces(t->vocabulary))
        whole = vocabulary_find(t->vocabulary, piece, length);
    if (whole != NO_TOKEN) return token_buffer_append(out, &whole, 1);
    return bpe_encode(t->vocabulary, piece, length, out);
}

static Status encode_piece(void *tokenizer, const uint8_t *piece, size_t length, TokenBuffer *out) {
    BpeTokenizer *t = tokenizer;
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

static Status bpe_tokenizer_encode(Tokenizer *tokenizer, const uint8_t *text, size_t bytes,
                                   bool is_last, TokenBuffer *out, size_t *used) {
    BpeTokenizer *t = (BpeTokenizer *)tokenizer;
    return pre_tokenizer_run(t->pre_tokenizer, text, bytes, is_last, encode_piece, t, out, used);
}

static const uint8_t *bpe_tokenizer_decode(const Tokenizer *tokenizer, int64_t token,
                                           size_t *length) {
    return vocabulary_bytes(((const BpeTokenizer *)tokenizer)->vocabulary, token, length);
}

static Status bpe_tokenizer_read_special(Tokenizer *tokenizer) {
    return pre_tokenizer_read_special(((BpeTokenizer *)tokenizer)->pre_tokenizer);
}

static void bpe_tokenizer_destroy(Tokenizer *tokenizer) {
    BpeTokenizer *t = (BpeTokenizer *)tokenizer;
    vocabulary_destroy(&t->vocabulary);
    pre_tokenizer_destroy(&t->pre_tokenizer);
    free(t->cache);
    free(t);
}

static const TokenizerKind bpe_kind = {bpe_tokenizer_encode, bpe_tokenizer_decode,
                                       bpe_tokenizer_read_special, bpe_tokenizer_destroy};

/* ---- identity -------------------------------------------------------------------------------- */

static uint64_t fold(uint64_t hash, const void *bytes, size_t length) {
    return XXH3_64bits_withSeed(bytes, length, hash + length);
}

static bool is_gpt2s_split(const PreTokenizerRules *rules) {
    char *gpt2 = NULL;
    bool is_same = rules->n_splits == 1 &&
                   !failed(pattern_translate(encoding_gpt2->pattern, PATTERN_FANCY_REGEX, &gpt2)) &&
                   strcmp(gpt2, pattern_text(rules->splits[0])) == 0;
    free(gpt2);
    return is_same;
}

/* The hash of the tokens. Each rule that GPT-2's encoding does not have is folded in. */
static uint64_t hash_of(const BpeDefinition *definition) {
    const PreTokenizerRules *rules = &definition->rules;
    uint64_t hash = vocabulary_hash(definition->vocabulary), merges = 0;
    bool is_gpt2s = is_gpt2s_split(rules);
    if (definition->hashes_merges) merges = vocabulary_merges_hash(definition->vocabulary);
    if (merges == GPT2_MERGES_HASH && hash == GPT2_VOCABULARY_HASH && is_gpt2s) return hash;
    if (!is_gpt2s) hash = fold(hash, &rules->n_splits, sizeof rules->n_splits);
    for (int i = 0; i < rules->n_splits && !is_gpt2s; i++) {
        const char *text = pattern_text(rules->splits[i]);
        hash = fold(hash, text, strlen(text));
    }
    for (size_t i = 0; i < rules->n_added; i++) {
        const AddedToken *token = &rules->added[i];
        if (!token->is_special) hash = fold(hash, &token->token, sizeof token->token);
    }
    if (rules->has_nfc) hash = fold(hash, "NFC", 3);
    if (!definition->hashes_merges) return hash;
    if (vocabulary_takes_whole_pieces(definition->vocabulary)) hash = fold(hash, "whole", 5);
    return fold(hash, &merges, sizeof merges);
}

Status bpe_tokenizer_open(const char *which, Tokenizer **out) {
    BpeDefinition definition = {0};
    BpeTokenizer *t = NULL;
    Status status;
    *out = NULL;
    TRY_ELSE(status, bpe_files_load(which, &definition), done);
    t = calloc(1, sizeof *t);
    if (t != NULL) t->cache = calloc(CACHE_SLOTS, sizeof *t->cache);
    if (t == NULL || t->cache == NULL) {
        status = OUT_OF_MEMORY("the tokenizer %s", which);
        goto done;
    }
    t->base = (Tokenizer){&bpe_kind, NULL, vocabulary_size(definition.vocabulary),
                          vocabulary_end_of_text(definition.vocabulary), hash_of(&definition)};
    t->vocabulary = definition.vocabulary;
    definition.vocabulary = NULL;
    TRY_ELSE(status, pre_tokenizer_create(&definition.rules, false, &t->pre_tokenizer), done);
    *out = &t->base;
    t = NULL;
done:
    if (t != NULL) bpe_tokenizer_destroy(&t->base);
    bpe_definition_free(&definition);
    return status;
}
