/* BpeDefinition: what the files of a byte-pair tokenizer define. */
#pragma once

#include "data/encodings.h"
#include "data/pre_tokenizer.h"
#include "data/vocabulary.h"

/* Initialize it with {0}. */
typedef struct BpeDefinition {
    Vocabulary *vocabulary;
    PreTokenizerRules rules;
    bool hashes_merges; /* the merges are listed, and are part of the tokenizer's identity */
} BpeDefinition;

void bpe_definition_free(BpeDefinition *definition);

/* bpe_definition_begin: creates a vocabulary for `count` tokens of a file that does not hold its
 * pattern, and sets the rules of its encoding. `encoding`: NULL if the user names none; then it is
 * GPT-2's. If `count` is that of the encoding's own file, adds its special tokens.
 *   Errors: STATUS_DATA if `count` is that of another known encoding. */
NODISCARD Status bpe_definition_begin(BpeDefinition *definition, const KnownEncoding *encoding,
                                      int64_t count);

/* Adds a token that is read from text. Errors: STATUS_OUT_OF_MEMORY. */
NODISCARD Status bpe_definition_add(BpeDefinition *definition, const char *text, AddedToken token);

/* Lets text be normalized to NFC. Errors: STATUS_DATA if this build has no libutf8proc. */
NODISCARD Status bpe_definition_normalize(BpeDefinition *definition);

/* Finishes the vocabulary and adds its end of text to the special tokens. Errors: those of
 * vocabulary_finish. */
NODISCARD Status bpe_definition_finish(BpeDefinition *definition);
