#include "data/token_text.h"

#include "data/tokenizer.h"

#include <stdlib.h>
#include <string.h>

TokenizerId token_file_tokenizer_id(const TokenFile *file) {
    return (TokenizerId){token_file_tokenizer(file), token_file_tokenizer_hash(file)};
}

bool tokenizer_is_named(const char *name) {
    return name[0] != '\0' && strcmp(name, TOKENIZER_UNKNOWN) != 0;
}

const char *tokenizer_assumed(const char *name, int64_t vocab_size) {
    bool is_usual = vocab_size == VOCAB_OF_NAMELESS || vocab_size == PADDED_VOCAB_OF_NAMELESS;
    if (name[0] != '\0') return name;
    return is_usual ? TOKENIZER_OF_NAMELESS : TOKENIZER_UNKNOWN;
}

bool tokenizer_ids_agree(TokenizerId a, TokenizerId b) {
    if (a.hash != 0 && b.hash != 0) return a.hash == b.hash;
    bool are_named = tokenizer_is_named(a.name) && tokenizer_is_named(b.name);
    return !are_named || strcmp(a.name, b.name) == 0;
}

static bool tokens_are_equal(const Tokenizer *a, const Tokenizer *b) {
    int64_t V = tokenizer_vocab_size(a), end = tokenizer_end_of_text(a);
    if (tokenizer_vocab_size(b) != V || tokenizer_end_of_text(b) != end) return false;
    for (int64_t token = 0; token < V; token++) {
        const uint8_t *in_a, *in_b;
        size_t bytes_a, bytes_b;
        if (failed(tokenizer_decode(a, token, &in_a, &bytes_a)) ||
            failed(tokenizer_decode(b, token, &in_b, &bytes_b)))
            return false;
        bool is_same = bytes_a == bytes_b && memcmp(in_a, in_b, bytes_a) == 0;
        if (!is_same && token != end) return false;
    }
    return true;
}

bool tokenizers_share_tokens(TokenizerId a, TokenizerId b) {
    Tokenizer *in_a = NULL, *in_b = NULL;
    if (tokenizer_ids_agree(a, b)) return true;
    bool share = !failed(tokenizer_open_of(a, a.name, 0, &in_a)) &&
                 !failed(tokenizer_open_of(b, b.name, 0, &in_b)) && tokens_are_equal(in_a, in_b);
    tokenizer_destroy(&in_a);
    tokenizer_destroy(&in_b);
    return share;
}

static Status lengths_read(const Tokenizer *tokenizer, int64_t vocab_size, int32_t *lengths) {
    int64_t known = tokenizer_vocab_size(tokenizer);
    for (int64_t token = 0; token < vocab_size && token < known; token++) {
        const uint8_t *bytes;
        size_t length;
        TRY(tokenizer_decode(tokenizer, token, &bytes, &length));
        lengths[token] = token == tokenizer_end_of_text(tokenizer) ? 0 : (int32_t)length;
    }
    return OK;
}

Status tokenizer_open_of(TokenizerId id, const char *path, int64_t vocab_size, Tokenizer **out) {
    *out = NULL;
    const char *name = tokenizer_assumed(id.name, vocab_size);
    if (!tokenizer_is_named(name))
        return ERROR(STATUS_DATA, "%s: does not name its tokenizer", path);
    TRY(tokenizer_open(name, out));
    if (id.hash == 0 || id.hash == tokenizer_hash(*out)) return OK;
    tokenizer_destroy(out);
    return ERROR(
        STATUS_DATA,
        "%s: its tokenizer %s has changed since; restore that file, or make the data again "
        "with ./prepare",
        path, id.name);
}

Status tokenizer_text_lengths(TokenizerId id, const char *path, int64_t vocab_size, int32_t **out) {
    Tokenizer *tokenizer = NULL;
    *out = NULL;
    TRY(tokenizer_open_of(id, path, vocab_size, &tokenizer));
    int32_t *lengths = calloc((size_t)vocab_size, sizeof *lengths);
    Status status = lengths == NULL ? OUT_OF_MEMORY("a vocabulary")
                                    : lengths_read(tokenizer, vocab_size, lengths);
    tokenizer_destroy(&tokenizer);
    if (failed(status))
        free(lengths);
    else
        *out = lengths;
    return status;
}
