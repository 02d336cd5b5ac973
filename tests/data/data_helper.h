/* What the tests of data/ share. */
#pragma once

#include "data/tokenizer.h"

#include <stddef.h>
#include <stdint.h>

/* DIRECTORY/NAME, in one of a few rotating buffers. */
const char *path_in(const char *directory, const char *name);

/* Writes a file; ends the program where that fails. */
void file_write(const char *path, const void *bytes, size_t size);
void text_write(const char *path, const char *text);

/* A file's bytes, with a zero after them; free() them. */
uint8_t *file_read(const char *path, size_t *size);

/* GPT-2's tokenizer; NULL where the vocabulary is not there and cannot be fetched. */
Tokenizer *gpt2_or_null(void);

/* A small generator with a seed, for tests that are the same each time. */
uint64_t dice_roll(uint64_t *state, uint64_t below);
