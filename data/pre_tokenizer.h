/* PreTokenizer: what happens to text before bytes are merged into tokens. In this order:
 *
 *   added tokens that are read from the text as it is
 *   NFC
 *   added tokens that are read from the normalized text
 *   the splits, each of which cuts the pieces of the one before
 *
 * A split makes a piece of each match of its pattern and of each text between two matches. Bytes
 * that are not UTF-8 are pieces of their own. Source: Hugging Face tokenizers, tokenizer/mod.rs. */
#pragma once

#include "core/status.h"
#include "data/pattern.h"
#include "data/token_buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAX_SPLITS = 8 };

/* A token with a text of its own, which no merge makes. */
typedef struct AddedToken {
    char *text;
    int32_t token;
    bool is_special;    /* read from text only on request */
    bool is_normalized; /* read from the normalized text */
} AddedToken;

/* What a tokenizer's file says. Initialize it with {0}. */
typedef struct PreTokenizerRules {
    AddedToken *added;
    size_t n_added;
    bool has_nfc;
    Pattern *splits[MAX_SPLITS];
    int n_splits;
} PreTokenizerRules;

void pre_tokenizer_rules_free(PreTokenizerRules *rules);

typedef struct PreTokenizer PreTokenizer;

/* Appends the tokens of a piece. */
typedef Status (*PieceFn)(void *context, const uint8_t *piece, size_t length, TokenBuffer *out);

/* pre_tokenizer_create: takes over the rules. `reads_special`: special tokens are read from text.
 *   Errors: STATUS_OUT_OF_MEMORY. Not collective. */
NODISCARD Status pre_tokenizer_create(PreTokenizerRules *rules, bool reads_special,
                                      PreTokenizer **out);
void pre_tokenizer_destroy(PreTokenizer **pre_tokenizer);
const PreTokenizerRules *pre_tokenizer_rules(const PreTokenizer *pre_tokenizer);

/* Reads special tokens from text from now on. Errors: STATUS_OUT_OF_MEMORY. */
NODISCARD Status pre_tokenizer_read_special(PreTokenizer *pre_tokenizer);

/* pre_tokenizer_run: calls `piece` for each piece and appends each added token, in the order of the
 * text. *used = the bytes whose tokens do not depend on text after them; all if `is_last`.
 *   Errors: those of pattern_find, nfc_compose and `piece`. Not collective; one thread at a time.
 */
NODISCARD Status pre_tokenizer_run(PreTokenizer *pre_tokenizer, const uint8_t *text, size_t bytes,
                                   bool is_last, PieceFn piece, void *context, TokenBuffer *out,
                                   size_t *used);
