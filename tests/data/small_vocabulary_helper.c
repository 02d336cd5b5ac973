#include "tests/data/small_vocabulary_helper.h"

#include "data/tokenizer.h"
#include "tests/data/data_helper.h"
#include "tests/harness.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

const char *const small_merges[5][3] = {{"t", "h", "th"},
                                        {"th", "e", "the"},
                                        {"i", "n", "in"},
                                        {"in", "g", "ing"},
                                        {" ", "the", " the"}};

/* GPT-2's character for a byte, in UTF-8. */
static const char *letter_of(int byte) {
    static char letters[256][3];
    int next = 0x100;
    for (int b = 0; b < 256; b++) {
        bool is_printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        int letter = is_printable ? b : next++;
        if (letter < 0x80) {
            snprintf(letters[b], 3, "%c", letter);
        } else {
            letters[b][0] = (char)(0xC0 | letter >> 6);
            letters[b][1] = (char)(0x80 | (letter & 0x3F));
        }
    }
    return letters[byte];
}

void small_word_print(FILE *file, const char *bytes) {
    for (; *bytes != '\0'; bytes++) fputs(letter_of((uint8_t)*bytes), file);
}

static void base64_print(FILE *file, const char *bytes, size_t length) {
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < length; i += 3) {
        unsigned word = 0;
        for (size_t j = 0; j < 3; j++)
            word = word << 8 | (i + j < length ? (uint8_t)bytes[i + j] : 0);
        for (size_t j = 0; j < 4; j++)
            fputc(i + j <= length ? alphabet[word >> (18 - 6 * j) & 63] : '=', file);
    }
}

void small_ranks_write(const char *path, int skip_byte) {
    FILE *file = fopen(path, "w");
    int rank = 0;
    for (int b = 0; b < 256; b++) {
        if (b == skip_byte) continue;
        base64_print(file, &(char){(char)b}, 1);
        fprintf(file, " %d\n", rank++);
    }
    for (size_t i = 0; i < COUNT(small_merges); i++) {
        base64_print(file, small_merges[i][2], strlen(small_merges[i][2]));
        fprintf(file, " %d\n", rank++);
    }
    fclose(file);
}

void small_words_print(FILE *file) {
    for (int b = 0; b < 256; b++) {
        fprintf(file, b == '"' || b == '\\' ? "\"\\%s\": %d, " : "\"%s\": %d, ", letter_of(b), b);
    }
    for (size_t i = 0; i < COUNT(small_merges); i++) {
        fputc('"', file);
        small_word_print(file, small_merges[i][2]);
        fprintf(file, "\": %zu, ", 256 + i);
    }
    fprintf(file, "\"<|endoftext|>\": %zu", 256 + COUNT(small_merges));
}

void small_encoder_write(const char *path) {
    FILE *file = fopen(path, "w");
    fputc('{', file);
    small_words_print(file);
    fputc('}', file);
    fclose(file);
}

void small_merges_write(const char *path) {
    FILE *file = fopen(path, "w");
    fputs("#version: 0.2\n", file);
    for (size_t i = 0; i < COUNT(small_merges); i++) {
        small_word_print(file, small_merges[i][0]);
        fputc(' ', file);
        small_word_print(file, small_merges[i][1]);
        fputc('\n', file);
    }
    fclose(file);
}

void damaged_tokenizer_check(const char *path, uint64_t seed, int rounds, int changes,
                             uint8_t first, int count) {
    uint64_t dice = seed;
    size_t size;
    uint8_t *good = file_read(path, &size), *damaged = malloc(size);
    for (int round = 0; round < rounds; round++) {
        Tokenizer *t;
        memcpy(damaged, good, size);
        for (int i = 0; i < changes; i++)
            damaged[dice_roll(&dice, size)] = (uint8_t)(first + dice_roll(&dice, (uint64_t)count));
        file_write(path, damaged, dice_roll(&dice, 4) == 0 ? dice_roll(&dice, size) : size);
        Status status = tokenizer_open(path, &t);
        CHECK(failed(status) == (t == NULL));
        CHECK(!failed(status) || status.code == STATUS_DATA);
        tokenizer_destroy(&t);
    }
    free(good);
    free(damaged);
}
