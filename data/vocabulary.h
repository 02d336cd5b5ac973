/* A byte-pair vocabulary: the bytes of every token, and the merges of pairs of tokens with their
 * ranks.
 *
 * Three file formats are read. They give the same object for the same vocabulary:
 *   encoder.json + vocab.bpe     OpenAI's GPT-2 release
 *   vocab.json   + merges.txt    Hugging Face's copy of the same
 *   *.tiktoken                   a rank file: base64 of the token's bytes, a space, its rank, one
 *                                token per line
 *
 * In a rank file two tokens merge if their concatenation is a token, and the rank of the merge is
 * that token's id. The other formats list the merges, and the line number is the rank. Source:
 * Sennrich et al., arXiv:1508.07909, algorithm 1. */
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

/* vocabulary_load: reads a vocabulary from a directory that holds one of the three forms, or from
 * one of its files (the sibling of a .json or of a merge list must be beside it). The content
 * determines the form.
 *   Errors: STATUS_DATA naming file and line. Not collective. */
NODISCARD Status vocabulary_load(const char *path, Vocabulary **out);
void vocabulary_destroy(Vocabulary **vocabulary);

/* Builds a vocabulary of at most `most` tokens: add ids below `most` in any order, then the merges,
 * then call finish. It checks that ids are dense, that tokens differ and that all 256 single bytes
 * are present. It adds the end of text as the last id if no token `<|endoftext|>` was added.
 *   Errors: STATUS_DATA, without the name of the file. */
NODISCARD Status vocabulary_create(int64_t most, Vocabulary **out);
NODISCARD Status vocabulary_add(Vocabulary *vocabulary, int64_t id, const uint8_t *bytes,
                                size_t length);
NODISCARD Status vocabulary_add_merge(Vocabulary *vocabulary, int32_t left, int32_t right,
                                      Merge merge);
NODISCARD Status vocabulary_finish(Vocabulary *vocabulary);

/* vocabulary_merge_by_rank: adds the merges that a rank file implies. Call it after
 * vocabulary_finish. For n tokens of S bytes in total: S log n byte comparisons and at most S
 * look-ups of merges.
 *   Errors: STATUS_DATA for more than 2^23 merges. */
NODISCARD Status vocabulary_merge_by_rank(Vocabulary *vocabulary);

int64_t vocabulary_size(const Vocabulary *vocabulary);
int32_t vocabulary_end_of_text(const Vocabulary *vocabulary);

/* XXH3 (64 bits) of every token's bytes in the order of ids; equal for equal vocabularies in any
 * form. */
uint64_t vocabulary_hash(const Vocabulary *vocabulary);

/* The bytes of a token; NULL if there is no such token. Valid as long as the vocabulary. */
const uint8_t *vocabulary_bytes(const Vocabulary *vocabulary, int64_t token, size_t *length);

/* The token with exactly these bytes, or NO_TOKEN. Call it after vocabulary_finish. */
int32_t vocabulary_find(const Vocabulary *vocabulary, const uint8_t *bytes, size_t length);

/* The token of one byte. */
int32_t vocabulary_of_byte(const Vocabulary *vocabulary, uint8_t byte);

/* Whether a piece of text that is a token is encoded as that token without merging (rank files). */
bool vocabulary_takes_whole_pieces(const Vocabulary *vocabulary);
void vocabulary_take_whole_pieces(Vocabulary *vocabulary);

Merge vocabulary_merge(const Vocabulary *vocabulary, int32_t left, int32_t right);
