#include "tests/data/data_helper.h"

#include <stdio.h>
#include <stdlib.h>

static void give_up(const char *path) {
    perror(path);
    exit(1);
}

void file_write(const char *path, const void *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes, 1, size, file) != size || fclose(file) != 0) give_up(path);
}

void text_write(const char *path, const char *text) {
    FILE *file = fopen(path, "wb");
    if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0) give_up(path);
}

uint8_t *file_read(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) give_up(path);
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(*size + 1);
    if (bytes == NULL || fread(bytes, 1, *size, file) != *size) give_up(path);
    bytes[*size] = '\0';
    fclose(file);
    return bytes;
}

Tokenizer *gpt2_or_null(void) {
    static int fetched = -1;
    Tokenizer *tokenizer = NULL;
    if (fetched < 0)
        fetched = system("timeout 120 scripts/fetch_gpt2_vocab.sh >/dev/null 2>&1") == 0;
    if (!fetched || failed(tokenizer_open("gpt2", &tokenizer))) return NULL;
    return tokenizer;
}

/* splitmix64. Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators",
 * 2014. */
uint64_t dice_roll(uint64_t *state, uint64_t below) {
    uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (z ^ (z >> 31)) % below;
}
