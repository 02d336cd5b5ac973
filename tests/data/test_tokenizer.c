#include "core/base/clock.h"
#include "data/nfc.h"
#include "tests/data/data_helper.h"
#include "tests/data/small_vocabulary_helper.h"
#include "tests/harness.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char no_vocabulary[] =
    "GPT-2's vocabulary is not there and scripts/fetch_gpt2_vocab.sh cannot fetch it";

/* ---- the byte tokenizer
 * ---------------------------------------------------------------------------------------------- */

static void bytes_are_tokens(void) {
    Tokenizer *t;
    TokenBuffer tokens = {0};
    uint8_t text[256];
    const uint8_t *bytes;
    size_t length;
    REQUIRE_OK(tokenizer_open("byte", &t));
    CHECK(tokenizer_vocab_size(t) == 257 && tokenizer_end_of_text(t) == 256);
    CHECK(strcmp(tokenizer_name(t), "byte") == 0 && tokenizer_hash(t) != 0);
    for (int i = 0; i < 256; i++) text[i] = (uint8_t)i;
    CHECK_OK(tokenizer_encode(t, text, 256, &tokens));
    CHECK(tokens.count == 256);
    for (int i = 0; i < 256; i++) {
        CHECK(tokens.tokens[i] == i);
        CHECK_OK(tokenizer_decode(t, i, &bytes, &length));
        CHECK(length == 1 && bytes[0] == i);
    }
    CHECK_OK(tokenizer_decode(t, 256, &bytes, &length));
    CHECK(length == 13);
    CHECK_ERROR(tokenizer_decode(t, 257, &bytes, &length), STATUS_DATA,
                "257 is not in the vocabulary");
    CHECK_ERROR(tokenizer_decode(t, -1, &bytes, &length), STATUS_DATA,
                "-1 is not in the vocabulary");
    token_buffer_free(&tokens);
    tokenizer_destroy(&t);
    CHECK(t == NULL);
    tokenizer_destroy(&t);
}

/* ---- GPT-2 against tiktoken
 * ------------------------------------------------------------------------------------------- */

static bool same_tokens(const json_t *wanted, const TokenBuffer *got) {
    if (json_array_size(wanted) != got->count) return false;
    for (size_t i = 0; i < got->count; i++) {
        if (json_integer_value(json_array_get(wanted, i)) != got->tokens[i]) return false;
    }
    return true;
}

static bool same_digest(const json_t *golden, const TokenBuffer *got) {
    uint64_t hash = 0;
    char text[24];
    for (size_t i = 0; i < got->count; i++) hash = hash * 31 + (uint64_t)got->tokens[i];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
    return json_integer_value(json_object_get(golden, "count")) == (json_int_t)got->count &&
           strcmp(json_string_value(json_object_get(golden, "hash")), text) == 0;
}

static void check_golden(Tokenizer *t, const json_t *golden) {
    const json_t *text = json_object_get(golden, "text"),
                 *repeat = json_object_get(golden, "repeat");
    size_t length = json_string_length(text),
           times = repeat == NULL ? 1 : (size_t)json_integer_value(repeat);
    char *all = malloc(length * times + 1);
    TokenBuffer tokens = {0};
    for (size_t i = 0; i < times; i++) memcpy(all + i * length, json_string_value(text), length);
    CHECK_OK(tokenizer_encode(t, all, length * times, &tokens));
    const json_t *wanted = json_object_get(golden, "tokens");
    bool is_same = wanted != NULL ? same_tokens(wanted, &tokens) : same_digest(golden, &tokens);
    if (!is_same) printf("\n    differs: %s\n", json_string_value(json_object_get(golden, "name")));
    CHECK(is_same);
    token_buffer_free(&tokens);
    free(all);
}

static void gpt2_equals_tiktoken(void) {
    json_error_t error;
    json_t *golden = json_load_file("tests/golden/tokens_gpt2.json", JSON_ALLOW_NUL, &error);
    Tokenizer *t = gpt2_or_null();
    size_t i;
    json_t *one;
    CHECK(json_array_size(golden) > 40);
    if (t == NULL) {
        json_decref(golden);
        SKIP(no_vocabulary);
    }
    CHECK(tokenizer_vocab_size(t) == 50257 && tokenizer_end_of_text(t) == 50256);
    CHECK(strcmp(tokenizer_name(t), "gpt2") == 0);
    json_array_foreach(golden, i, one) check_golden(t, one);
    json_decref(golden);
    tokenizer_destroy(&t);
}

static void a_megabyte_without_a_break_is_not_slow(void) {
    enum { BYTES = 1 << 20 };
    Tokenizer *t = gpt2_or_null();
    if (t == NULL) SKIP(no_vocabulary);
    char *text = malloc(BYTES);
    TokenBuffer tokens = {0};
    uint64_t dice = 1;
    for (int i = 0; i < BYTES; i++) text[i] = (char)('a' + dice_roll(&dice, 26));
    double start = clock_seconds();
    CHECK_OK(tokenizer_encode(t, text, BYTES, &tokens));
    CHECK(clock_seconds() - start <
          20); /* 0.3 s without sanitizers; a quadratic algorithm takes minutes */
    token_buffer_free(&tokens);
    free(text);
    tokenizer_destroy(&t);
}

/* ---- what holds for any text
 * ------------------------------------------------------------------------------------------- */

static const char *const units[] = {
    "a",
    " the",
    "  ",
    "\n",
    "'re",
    "'",
    "\xc2\xa0",
    "\xe3\x80\x80",
    "\xc3\xa9",
    "1",
    "...",
    "\xf0\x9f\x98\x80",
    "\xff",
    "\xc3",
    "\xed\xa0\x80",
    "\xf0\x9f\x98",
    "\xc0\x80",
    "\r\n",
    "wor",
    "\xe1\xa0\x8e",
    "-",
    "\xf4\x90\x80\x80",
    "\x80\x80",
    "e\xcc\x81", /* a mark that composes, and two that change order */
    "\xcc\xa3",
    "\xcc\x87",
    "\xe1\x84\x92",
    "\xe1\x85\xa1",
    "<|endoftext|>",
    "<|end"};

static size_t random_text(uint64_t *dice, int count, char *out) {
    size_t length = 0;
    for (int i = 0; i < count; i++) {
        const char *unit = units[dice_roll(dice, COUNT(units))];
        memcpy(out + length, unit, strlen(unit));
        length += strlen(unit);
    }
    return length;
}

static void check_round_trip(const Tokenizer *t, const TokenBuffer *tokens, const char *text,
                             size_t length) {
    size_t at = 0, size;
    const uint8_t *bytes;
    for (size_t i = 0; i < tokens->count; i++) {
        REQUIRE_OK(tokenizer_decode(t, tokens->tokens[i], &bytes, &size));
        if (at + size > length || memcmp(text + at, bytes, size) != 0) break;
        at += size;
    }
    CHECK(at == length);
}

static void check_decoding(Tokenizer *t) {
    char text[2048];
    uint64_t dice = 7;
    for (int round = 0; round < 300; round++) {
        TokenBuffer tokens = {0};
        size_t length = random_text(&dice, (int)dice_roll(&dice, 200), text);
        CHECK_OK(tokenizer_encode(t, text, length, &tokens));
        check_round_trip(t, &tokens, text, length);
        token_buffer_free(&tokens);
    }
}

static void decoding_gives_the_text_back_even_where_it_is_not_utf8(void) {
    Tokenizer *t = gpt2_or_null();
    if (t == NULL) SKIP(no_vocabulary);
    check_decoding(t);
    tokenizer_destroy(&t);
}

/* Encodes a text in parts of random lengths, as a stream reader does. */
static void encode_in_parts(Tokenizer *t, uint64_t *dice, const char *text, size_t length,
                            TokenBuffer *out) {
    size_t begin = 0, end = 0;
    while (end < length) {
        size_t used;
        end += 1 + dice_roll(dice, 60);
        if (end >= length) break;
        REQUIRE_OK(tokenizer_encode_part(t, text + begin, end - begin, out, &used));
        CHECK(used <= end - begin);
        begin += used;
    }
    CHECK_OK(tokenizer_encode(t, text + begin, length - begin, out));
}

static void check_parts(Tokenizer *t) {
    char text[2048];
    uint64_t dice = 11;
    for (int round = 0; round < 1000; round++) {
        TokenBuffer whole = {0}, parts = {0};
        size_t length = random_text(&dice, (int)dice_roll(&dice, 200), text);
        CHECK_OK(tokenizer_encode(t, text, length, &whole));
        encode_in_parts(t, &dice, text, length, &parts);
        bool is_same = whole.count == parts.count &&
                       (whole.count == 0 || memcmp(whole.tokens, parts.tokens,
                                                   whole.count * sizeof *whole.tokens) == 0);
        CHECK(is_same);
        token_buffer_free(&whole);
        token_buffer_free(&parts);
    }
}

static void parts_make_the_same_tokens(void) {
    Tokenizer *t = gpt2_or_null();
    if (t == NULL) SKIP(no_vocabulary);
    check_parts(t);
    tokenizer_destroy(&t);
}

/* The small vocabulary with the pattern of each encoding; special tokens are read too. */
static void both_hold_for_every_encoding(void) {
    static const char *const names[] = {"cl100k_base", "o200k_base", "llama3", "qwen2"};
    const char *path = path_in(harness_directory(), "small.tiktoken");
    small_ranks_write(path, -1);
    for (size_t i = 0; i < COUNT(names); i++) {
        char which[512];
        Tokenizer *t;
        bool is_normalized = strcmp(names[i], "qwen2") == 0;
        if (is_normalized && !nfc_is_available()) continue;
        snprintf(which, sizeof which, "%s:%s", path, names[i]);
        REQUIRE_OK(tokenizer_open(which, &t));
        if (!is_normalized) check_decoding(t);
        check_parts(t);
        REQUIRE_OK(tokenizer_read_special(t));
        check_parts(t);
        tokenizer_destroy(&t);
    }
}

static void an_empty_text_has_no_tokens(void) {
    Tokenizer *t = gpt2_or_null();
    TokenBuffer tokens = {0};
    if (t == NULL) SKIP(no_vocabulary);
    CHECK_OK(tokenizer_encode(t, "", 0, &tokens));
    CHECK(tokens.count == 0);
    token_buffer_free(&tokens);
    tokenizer_destroy(&t);
}

static void a_missing_vocabulary_names_the_script(void) {
    Tokenizer *t = NULL;
    const char *before = getenv("HOURGLASS_VOCAB");
    char *keep = before == NULL ? NULL : strdup(before);
    setenv("HOURGLASS_VOCAB", path_in(harness_directory(), "none"), 1);
    CHECK_ERROR(tokenizer_open("gpt2", &t), STATUS_DATA, "/none: cannot open the vocabulary");
    CHECK_ERROR(tokenizer_open("gpt2", &t), STATUS_DATA, "scripts/fetch_gpt2_vocab.sh");
    CHECK(t == NULL);
    unsetenv("HOURGLASS_VOCAB");
    if (keep != NULL) setenv("HOURGLASS_VOCAB", keep, 1);
    free(keep);
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(bytes_are_tokens),
        TEST(gpt2_equals_tiktoken),
        TEST(a_megabyte_without_a_break_is_not_slow),
        TEST(decoding_gives_the_text_back_even_where_it_is_not_utf8),
        TEST(parts_make_the_same_tokens),
        TEST(both_hold_for_every_encoding),
        TEST(an_empty_text_has_no_tokens),
        TEST(a_missing_vocabulary_names_the_script),
    };
    return harness_run(argc, argv, "tokenizer", tests, COUNT(tests));
}
