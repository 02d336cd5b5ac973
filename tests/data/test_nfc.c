#include "data/nfc.h"
#include "tests/harness.h"

#include <string.h>

static const char no_library[] = "this build has no libutf8proc";

#define ACUTE "\xcc\x81"                  /* U+0301 */
#define HANGUL "\xe1\x84\x92\xe1\x85\xa1" /* U+1112 U+1161 */
#define SYLLABLE "\xed\x95\x98"           /* U+D558 */
#define E_ACUTE "\xc3\xa9"

static void texts_are_composed(void) {
    static const char *const cases[][2] = {
        {"", ""},
        {"plain", "plain"},
        {E_ACUTE, E_ACUTE},
        {"caf"
         "e" ACUTE " x",
         "caf" E_ACUTE " x"},
        {ACUTE "x", ACUTE "x"},
        {"a" HANGUL "b", "a" SYLLABLE "b"},
        {"<\xcc\xb8", "\xe2\x89\xae"},              /* < U+0338 */
        {"\xe2\x84\xab", "\xc3\x85"},               /* the sign of Angstrom */
        {"q\xcc\x87\xcc\xa3", "q\xcc\xa3\xcc\x87"}, /* marks in their order */
        {"\xe4\xb8\xad" ACUTE "\xe6\x96\x87", "\xe4\xb8\xad" ACUTE "\xe6\x96\x87"}, /* Chinese */
    };
    if (!nfc_is_available()) SKIP(no_library);
    NfcText out = {0};
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *text = cases[i][0], *wanted = cases[i][1];
        CHECK_OK(nfc_compose((const uint8_t *)text, strlen(text), &out));
        CHECK(out.length == strlen(wanted));
        CHECK(out.length == 0 || memcmp(out.bytes, wanted, out.length) == 0);
        CHECK((out.n_changes > 0) == (strcmp(text, wanted) != 0));
    }
    nfc_text_free(&out);
}

static void changes_name_their_source(void) {
    static const char text[] = "ab e" ACUTE "c e" ACUTE "d";
    if (!nfc_is_available()) SKIP(no_library);
    NfcText out = {0};
    CHECK_OK(nfc_compose((const uint8_t *)text, strlen(text), &out));
    CHECK(out.length == strlen(text) - 2 && out.n_changes == 2);
    CHECK(out.changes[0].begin == 3 && out.changes[0].end == 5 && out.changes[0].source_end == 6);
    CHECK(out.changes[1].begin == 7 && out.changes[1].end == 9 && out.changes[1].source_end == 11);
    nfc_text_free(&out);
}

static void the_end_waits_for_what_follows(void) {
    CHECK(nfc_settled((const uint8_t *)"abc", 3) == 2);
    CHECK(nfc_settled((const uint8_t *)"abce" ACUTE, 6) == 3);
    CHECK(nfc_settled((const uint8_t *)"a" HANGUL, 7) == 0);
    CHECK(nfc_settled((const uint8_t *)E_ACUTE, 2) == 0);
    CHECK(nfc_settled((const uint8_t *)"", 0) == 0);
    CHECK(!nfc_may_change((const uint8_t *)"caf" E_ACUTE, 5));
    CHECK(nfc_may_change((const uint8_t *)"cafe" ACUTE, 6));
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(texts_are_composed),
        TEST(changes_name_their_source),
        TEST(the_end_waits_for_what_follows),
    };
    return harness_run(argc, argv, "nfc", tests, COUNT(tests));
}
