#include "launch/convert/tokenizer_write.h"

#include "core/base/names.h"
#include "data/byte_letters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_LETTERS = 512 };

/* A token in letters for bytes (data/byte_letters.h). */
typedef struct Word {
    char text[2 * MOST_LETTERS + 1];
    int ends[MOST_LETTERS + 1]; /* ends[0] = 0; part i is text[ends[i]] to text[ends[i + 1]] */
    int parts;
} Word;

typedef struct Writer {
    const Tokenizer *tokenizer;
    json_t *vocab, *merges;
    Names ids; /* of letters; the value is the id + 1 */
    Arena arena;
} Writer;

static Status no_room(void) { return OUT_OF_MEMORY("a tokenizer"); }

static Status word_take(const Writer *w, int64_t id, Word *out) {
    const uint8_t *bytes;
    size_t length;
    out->parts = out->ends[0] = 0;
    TRY(tokenizer_decode(w->tokenizer, id, &bytes, &length));
    if (length == 0 || length > MOST_LETTERS)
        return ERROR(STATUS_UNSUPPORTED, "token %lld has %zu bytes", (long long)id, length);
    for (size_t i = 0; i < length; i++) {
        int at = out->ends[out->parts];
        out->ends[++out->parts] = at + (int)byte_letter_encode(bytes[i], out->text + at);
    }
    out->text[out->ends[out->parts]] = '\0';
    return OK;
}

/* ---- merges ---------------------------------------------------------------------------------- */

static int64_t id_of(const Writer *w, const char *text, int bytes) {
    void **place = names_find(&w->ids, text, (size_t)bytes);
    return place == NULL ? INT64_MAX : (int64_t)(intptr_t)*place - 1;
}

/* Merges the two neighbours with the lowest id; false if there are none below `id`. */
static bool merge_lowest(const Writer *w, Word *word, int64_t id) {
    int best = -1;
    for (int i = 0; i + 2 <= word->parts; i++) {
        int64_t merged = id_of(w, word->text + word->ends[i], word->ends[i + 2] - word->ends[i]);
        if (merged < id) id = merged, best = i;
    }
    if (best < 0) return false;
    memmove(&word->ends[best + 1], &word->ends[best + 2],
            (size_t)(word->parts - best - 1) * sizeof *word->ends);
    word->parts--;
    return true;
}

/* The merge that makes a token is what the earlier merges leave of it: two parts. */
static Status merge_add(Writer *w, int64_t id, Word *word) {
    while (word->parts > 2 && merge_lowest(w, word, id)) continue;
    if (word->parts != 2)
        return ERROR(STATUS_UNSUPPORTED, "token %lld is no merge of earlier ones", (long long)id);
    json_t *merge = json_sprintf("%.*s %s", word->ends[1], word->text, word->text + word->ends[1]);
    return json_array_append_new(w->merges, merge) == 0 ? OK : no_room();
}

static Status token_add(Writer *w, int64_t id) {
    Word word;
    TRY(word_take(w, id, &word));
    const char *name = arena_strdup(&w->arena, word.text);
    void **place = name == NULL ? NULL : names_add(&w->ids, &w->arena, name);
    if (place == NULL || json_object_set_new(w->vocab, word.text, json_integer(id)) != 0)
        return no_room();
    if (word.parts > 1) TRY(merge_add(w, id, &word));
    *place = (void *)(intptr_t)(id + 1);
    return OK;
}

/* ---- the file -------------------------------------------------------------------------------- */

static json_t *special_token(int64_t id) {
    return json_pack("{s:I, s:s, s:b, s:b, s:b, s:b, s:b}", "id", (json_int_t)id, "content",
                     "<|endoftext|>", "single_word", 0, "lstrip", 0, "rstrip", 0, "normalized", 0,
                     "special", 1);
}

static json_t *byte_level(bool uses_pattern) {
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0,
                     "trim_offsets", 1, "use_regex", uses_pattern);
}

static Status tokens_add(Writer *w) {
    int64_t end = tokenizer_end_of_text(w->tokenizer);
    for (int64_t id = 0; id < tokenizer_vocab_size(w->tokenizer); id++) {
        if (id != end) TRY(token_add(w, id));
    }
    return json_object_set_new(w->vocab, "<|endoftext|>", json_integer(end)) == 0 ? OK : no_room();
}

Status tokenizer_json_make(const Tokenizer *tokenizer, json_t **out) {
    Writer w = {.tokenizer = tokenizer, .vocab = json_object(), .merges = json_array()};
    *out = NULL;
    Status status = w.vocab == NULL || w.merges == NULL ? no_room() : tokens_add(&w);
    if (!failed(status)) {
        *out = json_pack("{s:s, s:n, s:n, s:[o], s:n, s:o, s:n, s:o, s:{s:s, s:n, s:n, s:n, s:n, "
                         "s:b, s:b, s:O, s:O}}",
                         "version", "1.0", "truncation", "padding", "added_tokens",
                         special_token(tokenizer_end_of_text(tokenizer)), "normalizer",
                         "pre_tokenizer", byte_level(true), "post_processor", "decoder",
                         byte_level(true), "model", "type", "BPE", "dropout", "unk_token",
                         "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0,
                         "byte_fallback", 0, "vocab", w.vocab, "merges", w.merges);
        if (*out == NULL) status = no_room();
    }
    json_decref(w.vocab);
    json_decref(w.merges);
    arena_free(&w.arena);
    return status;
}
