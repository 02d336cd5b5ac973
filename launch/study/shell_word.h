#pragma once

#include <stdio.h>

/* Writes what is one word by the shell's rules: as it is where that is safe, otherwise in single
 * quotes. */
void shell_word(const char *word, FILE *file);
