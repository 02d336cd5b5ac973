#pragma once

#include <stdio.h>

/* Writes a word in shell syntax: unchanged if safe, otherwise in single quotes. */
void shell_word(const char *word, FILE *file);
