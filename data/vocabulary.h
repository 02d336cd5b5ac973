/* A byte-pair vocabulary: the bytes of every token, and which pair of tokens merges into which, and
 * how early.
 *
 * Three forms on disk are read, and give the same object for the same vocabulary:
 *   encoder.json + vocab.bpe     OpenAI's GPT-2 release
 *   vocab.json   + merges.txt    Hugging Face's copy of the same
 *   *.tiktoken                   a rank file: base64 of the token's bytes, a space, its rank, one
 *                                token a line
 *
 * In a rank file two tokens merge where their concatenation is a token, and its rank is its id; in
 * the other forms the merges are listed, and the line number is the rank. Source: Sennrich et al.,
 * arXiv:1508.07909, algorithm 1. */
#pragma once

#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Vocabulary Vocabulary;

enum { NO_TOKEN = -1 };
#define NO_MERGE UINT32_MAX

/* What a pair of adjacent tokens becomes; the pair of the smallest rank merges first. */
typedef struct Merge {
    uint32_t rank; /* NO_MERGE: the pair does not merge */
    int32_t token;
} Merge;

/* vocabulary_load: reads a vocabulary from a directory that holds one of the three forms, or from
 * one of their files (the sibling of a .json or of a list of merges is found beside it). The form
 * is decided by the content.
 *   Errors: STATUS_DATA naming file and line. Not collective. */
NODISCARD Status vocabulary_load(const char *path, Vocabulary **out);
void vocabulary_destroy(Vocabulary **vocabulary);

/* Building one of at most `most` tokens: ids below `most` in any order, then the merges, then
 * finish, which checks that ids are dense, that tokens differ and that all 256 single bytes are
 * there; end of text is added as the last id where no token `<|endoftext|>` was given.
 *   Errors: STATUS_DATA, without the file's name. */
NODISCARD Status vocabulary_create(int64_t most, Vocabulary **out);
NODISCARD Status vocabulary_add(Vocabulary *vocabulary, int64_t id, const uint8_t *bytes,
                                size_t length);
NODISCARD Status vocabulary_add_merge(Vocabulary *vocabulary, int32_t left, int32_t right,
                                      Merge merge);
NODISCARD Status vocabulary_finish(Vocabulary *vocabulary);

/* vocabulary_merge_by_rank: the merges that a rank file implies. Call after vocabulary_finish. For
 * n tokens of S bytes in all: S log n byte comparisons, and a merge is looked up at most S times.
 *   Errors: STATUS_DATA for more than 2^23 merges. */
NODISCARD Status vocabulary_merge_by_rank(Vocabulary *vocabulary);

int64_t vocabulary_size(const Vocabulary *vocabulary);
int32_t vocabulary_end_of_text(const Vocabulary *vocabulary);

/* A hash (XXH3, 64 bits) of every token's bytes in the order of ids: equal for equal vocabularies
 * in any form. */
uint64_t vocabulary_hash(const Vocabulary *vocabulary);

/* A token's bytes; NULL where there is no such token. Valid as long as the vocabulary. */
const uint8_t *vocabulary_bytes(const Vocabulary *vocabulary, int64_t token, size_t *length);

/* The token of exactly these bytes, or NO_TOKEN. Works after vocabulary_finish. */
int32_t vocabulary_find(const Vocabulary *vocabulary, const uint8_t *bytes, size_t length);

/* The token of one byte. */
int32_t vocabulary_of_byte(const Vocabulary *vocabulary, uint8_t byte);

/* True where a piece of text that is a token as a whole is not merged up from bytes (rank
 * files). */
bool vocabulary_takes_whole_pieces(const Vocabulary *vocabulary);
void vocabulary_take_whole_pieces(Vocabulary *vocabulary);

Merge vocabulary_merge(const Vocabulary *vocabulary, int32_t left, int32_t right);
