#include "data/pattern_translate.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* \s as Unicode's White_Space, inside a set. PCRE2's \s also matches U+180E, which lost that
 * property in Unicode 6.3. */
#define SPACE "\\t-\\r\\x{85}\\p{Z}"

enum { LONGEST_OUT = 10 }; /* characters of output per character of input: `[^SPACE]` for `\S` */

typedef struct Translation {
    const char *source, *at;
    char *end; /* of the output */
    PatternDialect dialect;
    int depth, caseless_depth; /* open groups; those around the outermost `(?i:`, 0: none */
} Translation;

static Status refuse(const Translation *t, const char *reason) {
    return ERROR(STATUS_DATA, "'%.12s' at byte %td of the pattern: %s", t->at, t->at - t->source,
                 reason);
}

static void put(Translation *t, const char *text, size_t length) {
    memcpy(t->end, text, length);
    t->end += length;
}

static void put_text(Translation *t, const char *text) { put(t, text, strlen(text)); }

static void copy(Translation *t, size_t length) {
    put(t, t->at, length);
    t->at += length;
}

/* \p{L}, \P{Nd}: a general category of one or two letters. Case is folded differently for Lu, Ll
 * and Lt. */
static Status property_copy(Translation *t) {
    const char *name = t->at + 3;
    size_t length = t->at[2] == '{' ? strcspn(name, "}") : 0;
    bool is_category = (length == 1 || (length == 2 && islower((unsigned char)name[1]))) &&
                       strchr("CLMNPSZ", name[0]) != NULL && name[length] == '}';
    if (!is_category) return refuse(t, "only general categories are supported, such as \\p{L}");
    if (t->caseless_depth > 0)
        return refuse(t, "categories in a group without case are not supported");
    copy(t, length + 4);
    return OK;
}

static Status escape_copy(Translation *t, bool in_set) {
    char c = t->at[1];
    if (c == 'p' || c == 'P') return property_copy(t);
    if (c == 's' || (c == 'S' && !in_set)) {
        put_text(t, in_set ? SPACE : c == 's' ? "[" SPACE "]" : "[^" SPACE "]");
    } else if (c == 'd' || c == 'D') {
        put_text(t, c == 'd' ? "\\p{Nd}" : "\\P{Nd}");
    } else if (c == 'r' || c == 'n' || c == 't' || ispunct((unsigned char)c)) {
        put(t, t->at, 2);
    } else {
        return refuse(t, "this escape is not supported");
    }
    t->at += 2;
    return OK;
}

static Status set_copy(Translation *t) {
    copy(t, t->at[1] == '^' ? 2 : 1);
    if (*t->at == ']') return refuse(t, "an empty set is not supported");
    while (*t->at != ']') {
        bool is_set = *t->at == '[' || strncmp(t->at, "&&", 2) == 0;
        if (*t->at == '\0') return refuse(t, "the set has no end");
        if (is_set) return refuse(t, "sets in sets are not supported");
        if (*t->at == '\\') {
            TRY(escape_copy(t, true));
        } else {
            copy(t, 1);
        }
    }
    copy(t, 1);
    return OK;
}

static Status group_copy(Translation *t) {
    static const char *const openings[] = {"(?:", "(?=", "(?!", "(?i:"};
    size_t length = t->at[1] == '?' ? 0 : 1;
    for (size_t i = 0; i < sizeof openings / sizeof openings[0]; i++) {
        if (strncmp(t->at, openings[i], strlen(openings[i])) == 0) length = strlen(openings[i]);
    }
    if (length == 0 || t->at[1] == '*') return refuse(t, "this group is not supported");
    t->depth++;
    if (length == 4 && t->caseless_depth == 0) t->caseless_depth = t->depth;
    copy(t, length);
    return OK;
}

static Status group_close(Translation *t) {
    if (t->depth == 0) return refuse(t, "no group is open");
    if (t->caseless_depth == t->depth) t->caseless_depth = 0;
    t->depth--;
    copy(t, 1);
    return OK;
}

/* {m}, {m,}, {m,n}. A + or ? after it has another meaning in Oniguruma. */
static Status repetition_copy(Translation *t) {
    const char *at = t->at + 1;
    size_t least = strspn(at, "0123456789"), length;
    at += least;
    if (*at == ',') at += 1 + strspn(at + 1, "0123456789");
    length = (size_t)(at - t->at) + 1;
    if (least == 0 || *at != '}') return refuse(t, "must be {m}, {m,} or {m,n}");
    if (t->dialect == PATTERN_ONIGURUMA && (at[1] == '+' || at[1] == '?'))
        return refuse(t, "a repetition of a repetition is not supported");
    copy(t, length);
    return OK;
}

static Status part_translate(Translation *t) {
    switch (*t->at) {
    case '\\': return escape_copy(t, false);
    case '[': return set_copy(t);
    case '(': return group_copy(t);
    case ')': return group_close(t);
    case '{': return repetition_copy(t);
    case '$':
        if (t->dialect == PATTERN_FANCY_REGEX) break;
        return refuse(t, "the ends of lines are not supported");
    case '^':
    case '.': return refuse(t, "this is not supported");
    default: break;
    }
    copy(t, 1);
    return OK;
}

Status pattern_translate(const char *source, PatternDialect dialect, char **out) {
    Translation t = {.source = source, .at = source, .dialect = dialect};
    Status status = OK;
    size_t length = strlen(source);
    t.end = *out = malloc(LONGEST_OUT * length + 1);
    if (*out == NULL) return OUT_OF_MEMORY("a pattern of a tokenizer");
    if (dialect == PATTERN_LITERAL) copy(&t, length);
    while (*t.at != '\0' && !failed(status)) status = part_translate(&t);
    *t.end = '\0';
    if (!failed(status)) return OK;
    free(*out);
    *out = NULL;
    return status;
}
