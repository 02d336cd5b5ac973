/* Files of a small vocabulary: the 256 bytes, then th, the, in, ing, " the". */
#pragma once

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
