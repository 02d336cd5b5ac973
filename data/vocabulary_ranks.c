/* The merges that a rank file implies: two tokens merge if their concatenation is a token.
 *
 * The tokens are sorted by their bytes. The longest proper prefix of a token that is itself a token
 * comes shortly before it; the shorter prefixes are prefixes of that one, and so on, which gives a
 * chain. The same on reversed tokens gives the suffixes. A token can be split at each point where a
 * prefix and a suffix meet, so no substring needs a look-up. */
#include "data/vocabulary.h"

#include <stdlib.h>
#include <string.h>

typedef struct Ranks {
    Vocabulary *v;
    bool is_backwards;
    int32_t *order, *stack; /* tokens: in sorted order; candidates for prefixes of the next token */
    int32_t *prefix, *suffix; /* of each token, the longest proper prefix or suffix that is a token,
                                 or NO_TOKEN */
    int32_t *ending; /* by length: the suffix of the current token that is a token, or NO_TOKEN */
} Ranks;

typedef struct Bytes {
    const uint8_t *at;
    size_t length;
} Bytes;

static Bytes bytes_of(const Ranks *r, int32_t token) {
    Bytes bytes = {0};
    bytes.at = vocabulary_bytes(r->v, token, &bytes.length);
    return bytes;
}

/* memcmp of the first n bytes, or of the last n bytes in reverse. */
static int compare(const Ranks *r, Bytes a, Bytes b, size_t n) {
    if (!r->is_backwards) return memcmp(a.at, b.at, n);
    const uint8_t *x = a.at + a.length, *y = b.at + b.length;
    for (size_t i = 1; i <= n; i++) {
        if (x[-(ptrdiff_t)i] != y[-(ptrdiff_t)i])
            return x[-(ptrdiff_t)i] < y[-(ptrdiff_t)i] ? -1 : 1;
    }
    return 0;
}

static int by_bytes(const void *one, const void *other, void *ranks) {
    Bytes a = bytes_of(ranks, *(const int32_t *)one), b = bytes_of(ranks, *(const int32_t *)other);
    int order = compare(ranks, a, b, a.length < b.length ? a.length : b.length);
    return order != 0 ? order : (a.length > b.length) - (a.length < b.length);
}

static bool begins_with(const Ranks *r, int32_t token, int32_t with) {
    Bytes whole = bytes_of(r, token), part = bytes_of(r, with);
    return part.length < whole.length && compare(r, whole, part, part.length) == 0;
}

/* Sets longest[token] for all of order[0 .. n). */
static void chains_find(Ranks *r, int32_t n, int32_t *longest) {
    int32_t depth = 0;
    qsort_r(r->order, (size_t)n, sizeof *r->order, by_bytes, r);
    for (int32_t i = 0; i < n; i++) {
        int32_t token = r->order[i];
        while (depth > 0 && !begins_with(r, token, r->stack[depth - 1])) depth--;
        longest[token] = depth > 0 ? r->stack[depth - 1] : NO_TOKEN;
        r->stack[depth++] = token;
    }
}

static Status token_cut(const Ranks *r, int32_t token) {
    size_t whole = bytes_of(r, token).length;
    Status status = OK;
    for (int32_t s = r->suffix[token]; s != NO_TOKEN; s = r->suffix[s])
        r->ending[bytes_of(r, s).length] = s;
    for (int32_t p = r->prefix[token]; p != NO_TOKEN && !failed(status); p = r->prefix[p]) {
        int32_t right = r->ending[whole - bytes_of(r, p).length];
        if (right != NO_TOKEN)
            status = vocabulary_add_merge(r->v, p, right, (Merge){(uint32_t)token, token});
    }
    for (int32_t s = r->suffix[token]; s != NO_TOKEN; s = r->suffix[s])
        r->ending[bytes_of(r, s).length] = NO_TOKEN;
    return status;
}

static int32_t *tokens_alloc(int64_t n) {
    int32_t *tokens = malloc((size_t)n * sizeof *tokens);
    for (int64_t i = 0; tokens != NULL && i < n; i++) tokens[i] = NO_TOKEN;
    return tokens;
}

static Status merges_find(Ranks *r) {
    int32_t n = 0, size = (int32_t)vocabulary_size(r->v),
            end_of_text = vocabulary_end_of_text(r->v);
    size_t longest = 0;
    for (int32_t token = 0; token < size; token++) {
        Bytes bytes = bytes_of(r, token);
        if (bytes.length > longest) longest = bytes.length;
        if (vocabulary_find(r->v, bytes.at, bytes.length) == token) r->order[n++] = token;
    }
    r->ending = tokens_alloc((int64_t)longest + 1);
    if (r->ending == NULL) return OUT_OF_MEMORY("the merges of a vocabulary");
    chains_find(r, n, r->prefix);
    r->is_backwards = true;
    chains_find(r, n, r->suffix);
    for (int32_t token = 0; token < size; token++) {
        if (token != end_of_text) TRY(token_cut(r, token));
    }
    return OK;
}

Status vocabulary_merge_by_rank(Vocabulary *v) {
    int64_t size = vocabulary_size(v);
    Ranks r = {
        v,   false, tokens_alloc(size), tokens_alloc(size), tokens_alloc(size), tokens_alloc(size),
        NULL};
    bool is_there = r.order != NULL && r.stack != NULL && r.prefix != NULL && r.suffix != NULL;
    vocabulary_take_whole_pieces(v);
    Status status = is_there ? merges_find(&r) : OUT_OF_MEMORY("the merges of a vocabulary");
    free(r.order), free(r.stack), free(r.prefix), free(r.suffix), free(r.ending);
    return status;
}
