/* Patterns: what is translated, what is refused, and what following text can still change. */
#include "data/encodings.h"
#include "data/pattern.h"
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void constructs_are_translated_or_refused(void) {
    static const struct {
        const char *source;
        PatternDialect dialect;
        const char *text, *message; /* one of them */
    } cases[] = {
        {"a|b", PATTERN_ONIGURUMA, "a|b", NULL},
        {"\\s", PATTERN_ONIGURUMA, "[\\t-\\r\\x{85}\\p{Z}]", NULL},
        {"[^\\s\\p{L}]+", PATTERN_ONIGURUMA, "[^\\t-\\r\\x{85}\\p{Z}\\p{L}]+", NULL},
        {"x(?!\\S)", PATTERN_ONIGURUMA, "x(?![^\\t-\\r\\x{85}\\p{Z}])", NULL},
        {"\\d\\D\\.\\-[\\-\\]]", PATTERN_ONIGURUMA, "\\p{Nd}\\P{Nd}\\.\\-[\\-\\]]", NULL},
        {"(?i:'s)|\\p{Lu}{1,3}", PATTERN_ONIGURUMA, "(?i:'s)|\\p{Lu}{1,3}", NULL},
        {"\\p{N}{1,3}+|\\s++$", PATTERN_FANCY_REGEX, "\\p{N}{1,3}+|[\\t-\\r\\x{85}\\p{Z}]++$",
         NULL},
        {"\\p{N}{1,3}+", PATTERN_ONIGURUMA, NULL, "a repetition of a repetition"},
        {"a$", PATTERN_ONIGURUMA, NULL, "'$' at byte 1 of the pattern: the ends of lines"},
        {"^a", PATTERN_FANCY_REGEX, NULL, "is not supported"},
        {"a.", PATTERN_FANCY_REGEX, NULL, "is not supported"},
        {"\\w", PATTERN_ONIGURUMA, NULL, "this escape is not supported"},
        {"\\b", PATTERN_ONIGURUMA, NULL, "this escape is not supported"},
        {"[\\S]", PATTERN_ONIGURUMA, NULL, "this escape is not supported"},
        {"\\", PATTERN_ONIGURUMA, NULL, "this escape is not supported"},
        {"\\p{Han}", PATTERN_ONIGURUMA, NULL, "only general categories"},
        {"\\pL", PATTERN_ONIGURUMA, NULL, "only general categories"},
        {"\\p{", PATTERN_ONIGURUMA, NULL, "only general categories"},
        {"(?i:\\p{Lu})", PATTERN_ONIGURUMA, NULL, "categories in a group without case"},
        {"[a&&b]", PATTERN_ONIGURUMA, NULL, "sets in sets"},
        {"[[:alpha:]]", PATTERN_ONIGURUMA, NULL, "sets in sets"},
        {"[]", PATTERN_ONIGURUMA, NULL, "an empty set"},
        {"[ab", PATTERN_ONIGURUMA, NULL, "the set has no end"},
        {"(?<=a)b", PATTERN_ONIGURUMA, NULL, "this group is not supported"},
        {"(*UTF)a", PATTERN_ONIGURUMA, NULL, "this group is not supported"},
        {"a)", PATTERN_ONIGURUMA, NULL, "no group is open"},
        {"a{,3}", PATTERN_ONIGURUMA, NULL, "must be {m}, {m,} or {m,n}"},
        {"(a", PATTERN_ONIGURUMA, NULL, "PCRE2 cannot compile the pattern"},
        {"a*", PATTERN_ONIGURUMA, NULL, "can match an empty string"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        Pattern *pattern = NULL;
        Status status = pattern_create(cases[i].source, cases[i].dialect, &pattern);
        bool is_right =
            failed(status)
                ? cases[i].message != NULL && strstr(status_message(), cases[i].message)
                : cases[i].text != NULL && strcmp(cases[i].text, pattern_text(pattern)) == 0;
        if (!is_right) printf("\n    %s: %s\n", cases[i].source, status_message());
        CHECK(is_right);
        CHECK(!failed(status) || (status.code == STATUS_DATA && pattern == NULL));
        pattern_destroy(&pattern);
    }
}

static void a_literal_is_no_expression(void) {
    Pattern *pattern;
    PatternMatch match;
    REQUIRE_OK(pattern_create("a.|", PATTERN_LITERAL, &pattern));
    CHECK_OK(pattern_find(pattern, (const uint8_t *)"xab|a.|", 7, 0, false, &match));
    CHECK(match.result == PATTERN_FOUND && match.begin == 4 && match.end == 7);
    pattern_destroy(&pattern);
}

/* Llama 3's pattern at the start of a text that is complete, and of one that may continue. */
static void what_may_change_is_undecided(void) {
    static const struct {
        const char *text;
        size_t length; /* of the first piece */
        bool is_decided;
    } cases[] = {
        {"hello world", 5, true}, {"hello", 5, false},   {"123", 3, true}, {"12", 2, false},
        {"'s x", 2, true},        {"'s", 2, true},       {"'", 1, false},  {"\n  x", 1, true},
        {"\n  ", 1, false},       {"\n  \n x", 4, true}, {"  x", 1, true}, {"  ", 2, false},
        {"...\n\nx", 5, true},    {"...\n", 4, false},   {" 1", 1, true},  {"\xc3\xa9", 2, false},
    };
    Pattern *pattern;
    PatternMatch match;
    REQUIRE_OK(pattern_create(encoding_named("llama3")->pattern, PATTERN_FANCY_REGEX, &pattern));
    for (size_t i = 0; i < COUNT(cases); i++) {
        const uint8_t *text = (const uint8_t *)cases[i].text;
        size_t bytes = strlen(cases[i].text);
        CHECK_OK(pattern_find(pattern, text, bytes, 0, false, &match));
        CHECK(match.result == PATTERN_FOUND && match.begin == 0 && match.end == cases[i].length);
        CHECK_OK(pattern_find(pattern, text, bytes, 0, true, &match));
        CHECK(match.result == (cases[i].is_decided ? PATTERN_FOUND : PATTERN_UNDECIDED));
        if (match.result != (cases[i].is_decided ? PATTERN_FOUND : PATTERN_UNDECIDED))
            printf("\n    %s\n", cases[i].text);
    }
    pattern_destroy(&pattern);
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(constructs_are_translated_or_refused),
        TEST(a_literal_is_no_expression),
        TEST(what_may_change_is_undecided),
    };
    return harness_run(argc, argv, "pattern", tests, COUNT(tests));
}
