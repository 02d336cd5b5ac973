/* Files of a small vocabulary: the 256 bytes, then th, the, in, ing, " the". */
#pragma once

#include <stdint.h>
#include <stdio.h>

extern const char *const small_merges[5][3]; /* left, right and both */

/* A rank file without the token of skip_byte; -1: with all. */
void small_ranks_write(const char *path, int skip_byte);

/* encoder.json, and vocab.bpe. */
void small_encoder_write(const char *path);
void small_merges_write(const char *path);

/* The members of encoder.json without the braces. */
void small_words_print(FILE *file);

/* The characters that stand for these bytes. */
void small_word_print(FILE *file, const char *bytes);

/* Damages the file at `path` at random, `rounds` times, in `changes` bytes, each to one of `count`
 * values from `first` on, and truncates a quarter of the copies: tokenizer_open gives an error of
 * STATUS_DATA or a tokenizer, and never crashes. */
void damaged_tokenizer_check(const char *path, uint64_t seed, int rounds, int changes,
                             uint8_t first, int count);
