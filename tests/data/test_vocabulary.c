/* The formats of a vocabulary, for a small one: the 256 bytes, then th, the, in, ing, " the". */
#include "core/base/clock.h"
#include "data/vocabulary.h"
#include "tests/data/data_helper.h"
#include "tests/data/small_vocabulary_helper.h"
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void check_encodes(const char *path, uint64_t *hash) {
    static const int32_t wanted[] = {260, 'm', 'e', 't', 259};
    Tokenizer *t;
    TokenBuffer tokens = {0};
    REQUIRE_OK(tokenizer_open(path, &t));
    CHECK(tokenizer_vocab_size(t) == 262 && tokenizer_end_of_text(t) == 261);
    CHECK(strcmp(tokenizer_name(t), path) == 0);
    CHECK_OK(tokenizer_encode(t, " themeting", 10, &tokens));
    CHECK(tokens.count == COUNT(wanted) && memcmp(tokens.tokens, wanted, sizeof wanted) == 0);
    tokens.count = 0;
    CHECK_OK(tokenizer_encode(t, "the the", 7, &tokens));
    CHECK(tokens.count == 2 && tokens.tokens[0] == 257 && tokens.tokens[1] == 260);
    *hash = tokenizer_hash(t);
    token_buffer_free(&tokens);
    tokenizer_destroy(&t);
}

static void all_forms_make_the_same_tokens(void) {
    const char *openai = harness_directory(), *hugging_face = harness_directory(),
               *ranks = harness_directory();
    uint64_t hash[6] = {0};
    small_encoder_write(path_in(openai, "encoder.json"));
    small_merges_write(path_in(openai, "vocab.bpe"));
    small_encoder_write(path_in(hugging_face, "vocab.json"));
    small_merges_write(path_in(hugging_face, "merges.txt"));
    small_ranks_write(path_in(ranks, "gpt2.tiktoken"), -1);
    check_encodes(openai, &hash[0]);
    check_encodes(hugging_face, &hash[1]);
    check_encodes(ranks, &hash[2]);
    check_encodes(path_in(openai, "vocab.bpe"), &hash[3]);
    check_encodes(path_in(hugging_face, "vocab.json"), &hash[4]);
    check_encodes(path_in(ranks, "gpt2.tiktoken"), &hash[5]);
    for (size_t i = 1; i < COUNT(hash); i++) CHECK(hash[i] == hash[0]);
}

/* One or two invalid files, and the expected message. */
static const struct {
    const char *name, *text, *other_name, *other_text, *message;
} bad[] = {
    {"r", "", NULL, NULL, "token for the byte 0x00"},
    {"r", "IQ== 0\nIQ== 1\n", NULL, NULL, "tokens 0 and 1 have the same bytes"},
    {"r", "IQ== 0\nIg== 0\n", NULL, NULL, "r:2: token id 0 occurs twice"},
    {"r", "IQ== 0\nIg== 2\n", NULL, NULL,
     "r:2: token id 2 is out of range: the ids of 2 tokens are 0 to 1"},
    {"r", "IQ== 16777215\n", NULL, NULL,
     "r:1: token id 16777215 is out of range: the ids of 1 tokens are 0 to 0"},
    {"r", "IQ== 0\nIg 1\n", NULL, NULL, "r:2: the token is not base64"},
    {"r", "I!== 0\n", NULL, NULL, "r:1: the token is not base64"},
    {"r", "IQ== zero\n", NULL, NULL, "r:1: 'zero' is not a rank"},
    {"r", "IQ== -1\n", NULL, NULL, "token id -1 is out of range"},
    {"r", "IQ== 99999999999\n", NULL, NULL, "out of range"},
    {"r", "hello\n", NULL, NULL, "r:1: a line of a rank file must be base64"},
    {"encoder.json", "{}", NULL, NULL, "the matching file of the pair is not beside it"},
    {"merges.txt", "a b\n", NULL, NULL, "the matching file of the pair is not beside it"},
    {"encoder.json", "{", "vocab.bpe", "a b\n", "encoder.json:1: not a JSON object"},
    {"encoder.json", "[1]", "vocab.bpe", "a b\n", "encoder.json:1: not a JSON object"},
    {"encoder.json", "{\"a\": 0, \"a\": 1}", "vocab.bpe", "a b\n", "not a JSON object"},
    {"encoder.json", "{\"a\": \"b\"}", "vocab.bpe", "a b\n", "the id of 'a' is not an integer"},
    {"encoder.json", "{\"\xe2\x82\xac\": 0}", "vocab.bpe", "a b\n",
     "is not a token of a byte-level vocabulary"},
    {"encoder.json", "{\"a\": 0}", "vocab.bpe", "a b\n", "no token for the byte 0x00"},
};

static void bad_files_are_named(void) {
    for (size_t i = 0; i < COUNT(bad); i++) {
        const char *directory = harness_directory();
        Tokenizer *t;
        text_write(path_in(directory, bad[i].name), bad[i].text);
        if (bad[i].other_name != NULL)
            text_write(path_in(directory, bad[i].other_name), bad[i].other_text);
        CHECK_ERROR(tokenizer_open(path_in(directory, bad[i].name), &t), STATUS_DATA,
                    bad[i].message);
        CHECK_ERROR(tokenizer_open(path_in(directory, bad[i].name), &t), STATUS_DATA, directory);
        CHECK(t == NULL);
    }
}

static void bad_merges_are_named(void) {
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"#version: 0.2\nt h\nt h\n", "vocab.bpe:3: this pair of tokens merges twice"},
        {"#version: 0.2\nt x\n", "vocab.bpe:2: the two tokens or their concatenation"},
        {"th\n", "vocab.bpe:1: a merge must be two tokens"},
        {"t \xe2\x82\xac\n", "vocab.bpe:1: not two tokens"},
        {"#version: 0.2\n", "contains no merges"},
    };
    const char *directory = harness_directory();
    Tokenizer *t;
    small_encoder_write(path_in(directory, "encoder.json"));
    for (size_t i = 0; i < COUNT(cases); i++) {
        text_write(path_in(directory, "vocab.bpe"), cases[i].text);
        CHECK_ERROR(tokenizer_open(directory, &t), STATUS_DATA, cases[i].message);
    }
}

static void a_missing_byte_or_directory_is_named(void) {
    const char *directory = harness_directory();
    Tokenizer *t;
    CHECK_ERROR(tokenizer_open(directory, &t), STATUS_DATA,
                "no vocabulary in this directory; it needs tokenizer.json");
    CHECK_ERROR(tokenizer_open(path_in(directory, "none"), &t), STATUS_DATA,
                "none: cannot open the vocabulary");
    small_ranks_write(path_in(directory, "ranks"), 0x41);
    CHECK_ERROR(tokenizer_open(path_in(directory, "ranks"), &t), STATUS_DATA,
                "no token for the byte 0x41");
    file_write(path_in(directory, "zero"), "IQ== 0\n\0IQ== 1\n", 15);
    CHECK_ERROR(tokenizer_open(path_in(directory, "zero"), &t), STATUS_DATA,
                "it contains a zero byte");
}

/* ---- the merges that a rank file implies
 * ----------------------------------------------------------------------------- */

/* The single bytes and `n` further words. */
static Vocabulary *vocabulary_of(const char *const *words, const size_t *lengths, int n) {
    Vocabulary *v = NULL;
    CHECK_OK(vocabulary_create(256 + n, &v));
    for (int b = 0; b < 256; b++) CHECK_OK(vocabulary_add(v, b, &(uint8_t){(uint8_t)b}, 1));
    for (int i = 0; i < n; i++)
        CHECK_OK(vocabulary_add(v, 256 + i, (const uint8_t *)words[i], lengths[i]));
    CHECK_OK(vocabulary_finish(v));
    CHECK_OK(vocabulary_merge_by_rank(v));
    return v;
}

/* Checks all pairs of tokens against the definition: they merge if their concatenation is a
 * token. */
static void check_all_pairs(const Vocabulary *v) {
    uint8_t bytes[64];
    for (int32_t a = 0; a < vocabulary_size(v); a++) {
        for (int32_t b = 0; b < vocabulary_size(v); b++) {
            size_t n_left, n_right;
            const uint8_t *left = vocabulary_bytes(v, a, &n_left),
                          *right = vocabulary_bytes(v, b, &n_right);
            memcpy(bytes, left, n_left);
            memcpy(bytes + n_left, right, n_right);
            int32_t whole = vocabulary_find(v, bytes, n_left + n_right);
            bool is_end = a == vocabulary_end_of_text(v) || b == vocabulary_end_of_text(v);
            if (vocabulary_merge(v, a, b).token != (is_end ? NO_TOKEN : whole)) CHECK(false);
        }
    }
}

static void ranks_merge_wherever_a_token_is_two(void) {
    enum { WORDS = 300 };
    static char texts[WORDS][16];
    const char *words[WORDS];
    size_t lengths[WORDS];
    uint64_t dice = 11;
    int n = 0;
    while (n < WORDS) {
        size_t length = 2 + dice_roll(&dice, 9);
        for (size_t i = 0; i < length; i++) texts[n][i] = "abc"[dice_roll(&dice, 3)];
        bool is_new = true;
        for (int i = 0; i < n; i++)
            is_new &= lengths[i] != length || memcmp(texts[i], texts[n], length) != 0;
        if (is_new) words[n] = texts[n], lengths[n++] = length;
    }
    Vocabulary *v = vocabulary_of(words, lengths, WORDS);
    check_all_pairs(v);
    vocabulary_destroy(&v);
}

/* Many long tokens, each of which starts and ends with the shorter ones: looking up every substring
 * took minutes. */
static void long_tokens_take_no_quadratic_time(void) {
    enum { WORDS = 200, LONGEST = 65536 };
    static char text[LONGEST];
    const char *words[WORDS];
    size_t lengths[WORDS];
    memset(text, 'a', sizeof text);
    for (int i = 0; i < WORDS; i++) words[i] = text, lengths[i] = (size_t)(LONGEST - i);
    double start = clock_seconds();
    Vocabulary *v = vocabulary_of(words, lengths, WORDS);
    CHECK(clock_seconds() - start < 5);
    CHECK(vocabulary_merge(v, 'a', 256 + WORDS - 1).token == 256 + WORDS - 2);
    vocabulary_destroy(&v);
}

static void large_ones_are_refused(void) {
    const char *path = path_in(harness_directory(), "large");
    Tokenizer *t;
    FILE *file = fopen(path, "w");
    for (int i = 0; i < 1 << 16; i++) fputc('A', file);
    fputs("AAAA 0\n", file);
    fclose(file);
    CHECK_ERROR(tokenizer_open(path, &t), STATUS_DATA,
                "large:1: a line of a rank file must be base64, a space and a rank");
    CHECK(truncate(path, (64 << 20) + 1) == 0);
    CHECK_ERROR(tokenizer_open(path, &t), STATUS_DATA,
                "large: is larger than the limit of 67108864 bytes");
}

/* Opening a pipe without a writer would block forever. */
static void a_pipe_or_device_is_refused(void) {
    const char *path = path_in(harness_directory(), "pipe");
    Tokenizer *t;
    CHECK(mkfifo(path, 0666) == 0);
    CHECK_ERROR(tokenizer_open(path, &t), STATUS_DATA, "pipe: not a regular file");
    CHECK_ERROR(tokenizer_open("/dev/zero", &t), STATUS_DATA, "/dev/zero: not a regular file");
}

/* Any bytes give an error or a vocabulary, never a crash. */
static void damaged_vocabularies_never_crash(void) {
    char *path = strdup(path_in(harness_directory(), "ranks"));
    small_ranks_write(path, -1);
    damaged_tokenizer_check(path, 5, 200, 3, 0, 256);
    free(path);
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(all_forms_make_the_same_tokens),
        TEST(bad_files_are_named),
        TEST(bad_merges_are_named),
        TEST(a_missing_byte_or_directory_is_named),
        TEST(ranks_merge_wherever_a_token_is_two),
        TEST(long_tokens_take_no_quadratic_time),
        TEST(large_ones_are_refused),
        TEST(a_pipe_or_device_is_refused),
        TEST(damaged_vocabularies_never_crash),
    };
    return harness_run(argc, argv, "vocabulary", tests, COUNT(tests));
}
