#include "data/gpt2_pattern.h"

#include <stdbool.h>
#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* \s as Unicode's White_Space. PCRE2's \s also matches U+180E, which lost that property in Unicode
 * 6.3. */
#define SPACE "\\p{Z}\\t-\\r\\x{85}"

static const char pattern_text[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^" SPACE
                                   "\\p{L}\\p{N}]+|[" SPACE "]+(?![^" SPACE "])|[" SPACE "]+";

struct Gpt2Pattern {
    pcre2_code *code;
    pcre2_match_data *match;
    bool has_jit;
};

Status gpt2_pattern_create(Gpt2Pattern **out) {
    int error;
    PCRE2_SIZE where;
    Gpt2Pattern *p = calloc(1, sizeof *p);
    if (p == NULL) return ERROR(STATUS_NO_ROOM, "out of memory");
    p->code = pcre2_compile((PCRE2_SPTR)pattern_text, PCRE2_ZERO_TERMINATED,
                            PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED, &error, &where, NULL);
    if (p->code != NULL) p->match = pcre2_match_data_create(1, NULL);
    if (p->match == NULL) {
        gpt2_pattern_destroy(&p);
        return ERROR(STATUS_FAILURE,
                     "PCRE2 cannot compile GPT-2's pattern; install a PCRE2 with Unicode support");
    }
    p->has_jit = pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE) == 0;
    *out = p;
    return OK;
}

void gpt2_pattern_destroy(Gpt2Pattern **pattern) {
    if (pattern == NULL || *pattern == NULL) return;
    pcre2_match_data_free((*pattern)->match);
    pcre2_code_free((*pattern)->code);
    free(*pattern);
    *pattern = NULL;
}

Status gpt2_pattern_next(Gpt2Pattern *p, const uint8_t *text, size_t bytes, size_t at,
                         size_t *end) {
    int found = p->has_jit
                    ? pcre2_jit_match(p->code, text, bytes, at, PCRE2_NO_UTF_CHECK, p->match, NULL)
                    : pcre2_match(p->code, text, bytes, at, PCRE2_NO_UTF_CHECK, p->match, NULL);
    if (found <= 0)
        return ERROR(STATUS_FAILURE, "PCRE2 failed on the text at byte %zu with error %d", at,
                     found);
    *end = pcre2_get_ovector_pointer(p->match)[1];
    return OK;
}
