/* Helpers of the tests of data/. */
#pragma once

#include "data/tokenizer.h"

#include <stddef.h>
#include <stdint.h>

/* Writes a file; ends the program on failure. */
void file_write(const char *path, const void *bytes, size_t size);
void text_write(const char *path, const char *text);

/* The bytes of a file, followed by a zero byte; the caller frees them. */
uint8_t *file_read(const char *path, size_t *size);

/* GPT-2's tokenizer; NULL if the vocabulary is missing and cannot be downloaded. */
Tokenizer *gpt2_or_null(void);

/* A small seeded generator, for reproducible tests. */
uint64_t dice_roll(uint64_t *state, uint64_t below);
