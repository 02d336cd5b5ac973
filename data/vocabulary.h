/* A byte-pair vocabulary: the bytes of every token, and the merges of pairs of tokens with their
 * ranks. bpe_files.h reads it from files. Source: Sennrich et al., arXiv:1508.07909, algorithm
 * 1. */
#pragma once

#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Vocabulary Vocabulary;

enum { NO_TOKEN = -1 };
#define NO_MERGE UINT32_MAX

/* The result of merging two adjacent tokens; the pair of the smallest rank merges first. */
typedef struct Merge {
    uint32_t rank; /* NO_MERGE: the pair does not merge */
    int32_t token;
} Merge;

void vocabulary_destroy(Vocabulary **vocabulary);

/* Builds a vocabulary of at most `most` tokens: add tokens with ids below `most` in any order, call
 * finish, then add the merges. finish checks that tokens differ and that all 256 single bytes are
 * present, and finds the end of text (see vocabulary_end_of_text). An id without a token is unused:
 * it has no bytes, and nothing is encoded to it.
 *   Errors: STATUS_DATA, without the name of the file. */
NODISCARD Status vocabulary_create(int64_t most, Vocabulary **out);
NODISCARD Status vocabulary_add(Vocabulary *vocabulary, int64_t id, const uint8_t *bytes,
                                size_t length);

/* Adds a token that no piece of text becomes, as long as it is not also an ordinary one: adding an
 * id twice with the same bytes is no error. */
NODISCARD Status vocabulary_add_special(Vocabulary *vocabulary, int64_t id, const char *text);

/* Raises the size: further ids are unused. size <= most. */
void vocabulary_reserve(Vocabulary *vocabulary, int64_t size);
NODISCARD Status vocabulary_finish(Vocabulary *vocabulary);
NODISCARD Status vocabulary_add_merge(Vocabulary *vocabulary, int32_t left, int32_t right,
                                      Merge merge);

/* vocabulary_merge_by_rank: adds the merges that a rank file implies. Call it after
 * vocabulary_finish. For n tokens of S bytes in total: S log n byte comparisons and at most S
 * look-ups of merges.
 *   Errors: STATUS_DATA for more than 2^23 merges. */
NODISCARD Status vocabulary_merge_by_rank(Vocabulary *vocabulary);

int64_t vocabulary_size(const Vocabulary *vocabulary);

/* The token <|endoftext|>; else the special token <|end_of_text|> (Llama 3), DeepSeek's, or </s>;
 * if there is none, finish adds <|endoftext|> as the last id. */
int32_t vocabulary_end_of_text(const Vocabulary *vocabulary);

/* XXH3 (64 bits) of every token's bytes in the order of ids; equal for equal vocabularies in any
 * form. */
uint64_t vocabulary_hash(const Vocabulary *vocabulary);

/* XXH3 (64 bits) of the set of merges. */
uint64_t vocabulary_merges_hash(const Vocabulary *vocabulary);

/* The bytes of a token; NULL if there is no such token. Valid as long as the vocabulary. */
const uint8_t *vocabulary_bytes(const Vocabulary *vocabulary, int64_t token, size_t *length);

/* The token with exactly these bytes, or NO_TOKEN. Call it after vocabulary_finish. */
int32_t vocabulary_find(const Vocabulary *vocabulary, const uint8_t *bytes, size_t length);

/* The token of one byte. */
int32_t vocabulary_of_byte(const Vocabulary *vocabulary, uint8_t byte);

/* Whether a piece of text that is a token is encoded as that token without merging (rank files, and
 * `ignore_merges` of tokenizer.json). */
bool vocabulary_takes_whole_pieces(const Vocabulary *vocabulary);
void vocabulary_take_whole_pieces(Vocabulary *vocabulary);

Merge vocabulary_merge(const Vocabulary *vocabulary, int32_t left, int32_t right);
