#include "data/pattern.h"

#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

struct Pattern {
    char *text;
    pcre2_code *code;
    pcre2_match_data *match;
    bool has_jit;
};

static Status code_compile(Pattern *p, bool is_literal) {
    int error;
    PCRE2_SIZE where;
    uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_DOLLAR_ENDONLY, has_unicode = 0, has_empty = 0;
    if (pcre2_config(PCRE2_CONFIG_UNICODE, &has_unicode) < 0 || has_unicode == 0)
        return ERROR(STATUS_FAILURE, "PCRE2 has no Unicode support; install one that has");
    if (is_literal) options = PCRE2_UTF | PCRE2_LITERAL;
    p->code =
        pcre2_compile((PCRE2_SPTR)p->text, PCRE2_ZERO_TERMINATED, options, &error, &where, NULL);
    if (p->code == NULL) {
        char reason[120] = "";
        pcre2_get_error_message(error, (PCRE2_UCHAR *)reason, sizeof reason);
        return ERROR(STATUS_DATA, "PCRE2 cannot compile the pattern: %s", reason);
    }
    pcre2_pattern_info(p->code, PCRE2_INFO_MATCHEMPTY, &has_empty);
    if (has_empty)
        return ERROR(STATUS_DATA, "the pattern can match an empty string, which is not supported");
    p->has_jit = pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD) == 0;
    p->match = pcre2_match_data_create(1, NULL);
    return p->match == NULL ? OUT_OF_MEMORY("a pattern of a tokenizer") : OK;
}

Status pattern_create(const char *source, PatternDialect dialect, Pattern **out) {
    Pattern *p = *out = calloc(1, sizeof *p);
    if (p == NULL) return OUT_OF_MEMORY("a pattern of a tokenizer");
    Status status = pattern_translate(source, dialect, &p->text);
    if (!failed(status)) status = code_compile(p, dialect == PATTERN_LITERAL);
    if (failed(status)) pattern_destroy(out);
    return status;
}

void pattern_destroy(Pattern **pattern) {
    if (pattern == NULL || *pattern == NULL) return;
    pcre2_match_data_free((*pattern)->match);
    pcre2_code_free((*pattern)->code);
    free((*pattern)->text);
    free(*pattern);
    *pattern = NULL;
}

const char *pattern_text(const Pattern *pattern) { return pattern->text; }

Status pattern_find(Pattern *p, const uint8_t *text, size_t bytes, size_t at, bool is_open,
                    PatternMatch *out) {
    uint32_t options = PCRE2_NO_UTF_CHECK | (is_open ? PCRE2_PARTIAL_HARD : 0);
    int found = p->has_jit ? pcre2_jit_match(p->code, text, bytes, at, options, p->match, NULL)
                           : pcre2_match(p->code, text, bytes, at, options, p->match, NULL);
    const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(p->match);
    *out = (PatternMatch){PATTERN_NONE, bytes, bytes};
    if (found == PCRE2_ERROR_NOMATCH) return OK;
    if (found < 0 && found != PCRE2_ERROR_PARTIAL)
        return ERROR(STATUS_FAILURE, "PCRE2 failed on the text at byte %zu with error %d", at,
                     found);
    *out = (PatternMatch){found < 0 ? PATTERN_UNDECIDED : PATTERN_FOUND, ends[0], ends[1]};
    return OK;
}
